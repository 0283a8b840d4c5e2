// The families of op cases. A new family is a file here, its declaration, and its line in families.cc.
#pragma once

#include "autograd/ops.h"
#include "tests/cases/op_case.h"

namespace taut::cases {

void add_pointwise_cases(CaseList& list);
void add_reduce_cases(CaseList& list);
void add_matmul_cases(CaseList& list);
void add_low_rank_cases(CaseList& list);
void add_phm_cases(CaseList& list);
void add_softmax_cases(CaseList& list);
void add_cross_entropy_cases(CaseList& list);
void add_norm_cases(CaseList& list);
void add_batch_norm_cases(CaseList& list);
void add_conv2d_cases(CaseList& list);
void add_pool_cases(CaseList& list);
void add_attention_cases(CaseList& list);
void add_layout_cases(CaseList& list);
void add_optim_cases(CaseList& list);
void add_pgd_cases(CaseList& list);

}  // namespace taut::cases
