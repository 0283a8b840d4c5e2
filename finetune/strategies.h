// The list of strategies; one function a file.
#pragma once

#include "finetune/strategy.h"

namespace taut::finetune {

const Strategy& full();
const Strategy& linear_probe();
const Strategy& lora();
const Strategy& adapter();
const Strategy& compacter();
const Strategy& ia3();
const Strategy& bitfit();
const Strategy& ln_tuning();
const Strategy& bn_tuning();

}  // namespace taut::finetune
