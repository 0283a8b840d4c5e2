#include "tests/ops/families.h"

namespace taut::cases {

CaseList all_op_cases() {
  CaseList list;
  add_pointwise_cases(list);
  add_reduce_cases(list);
  add_matmul_cases(list);
  add_low_rank_cases(list);
  add_phm_cases(list);
  add_softmax_cases(list);
  add_cross_entropy_cases(list);
  add_norm_cases(list);
  add_batch_norm_cases(list);
  add_conv2d_cases(list);
  add_pool_cases(list);
  add_attention_cases(list);
  add_layout_cases(list);
  add_optim_cases(list);
  add_pgd_cases(list);
  return list;
}

}  // namespace taut::cases
