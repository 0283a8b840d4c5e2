// The tolerance policy: every number by which a test calls a difference small stands here, and nowhere else.
//
// Differences are measured over a whole tensor: max |got - wanted| / max |wanted|, never per element.
#pragma once

#include <vector>

#include "tensor/dtype.h"

namespace taut::cases {

// An f64 result against an f64 formula that adds in another order.
constexpr double kF64Limit = 1e-12;
// An f64 gradient against the formula's own gradient: sums of products of rounded values.
constexpr double kF64GradientLimit = 1e-11;
// An f64 gradient against central differences of the f64 forward pass with step kStep.
constexpr double kDifferenceStep = 1e-5, kDifferenceLimit = 1e-6;
// f32: at most kBudgetFactor times the error of the plain f32 loop, and a floor of kBudgetFloor units in the last place
// of the largest magnitude.
constexpr double kBudgetFactor = 2, kBudgetFloor = 2;
// The same for bf16, against the plain f32 loop over the same bf16 numbers, its results rounded: kernels round what
// lies between two of their products, too (P of attention, the gradient before GELU), and gradients read outputs that
// were stored rounded (softmax).
constexpr double kBF16Factor = 2, kBF16Floor = 1.5;
// And for tf32, against the plain f32 loop over inputs rounded to tf32: gradients round what they multiply with, too.
constexpr double kTF32Factor = 2, kTF32Floor = 2;
// Convolutions by Winograd's algorithm in place of kBudgetFactor: its transforms subtract large numbers from each
// other.
constexpr double kWinogradFactor = 16;
// Golden numbers: operators, models, training steps, attacks and position embeddings in f64.
constexpr double kGoldenOp = 1e-10, kGoldenModel = 1e-9, kGoldenTrain = 1e-8, kGoldenAttack = 1e-10;
constexpr double kGoldenKeyBiasNorm = 1e-6, kGoldenPositions = 1e-5;
// The same in f32, where no plain loop stands beside the numbers: so many units in the last place of the largest
// magnitude (measured: an operator 22, some steps of training 116).
constexpr double kGoldenF32OpUlps = 64, kGoldenF32StepsUlps = 512;
// A whole model in f32 has no plain loop beside it, and amplifies rounding by what it is. Its error is judged, by
// kBudgetFactor and kBudgetFloor, against that of the same model in f64 with parameters moved by up to kGoldenRoundings
// f32 roundings, the worst of kGoldenDisturbances draws. Gradients of nets with ReLU or max-pooling jump where a unit
// changes sides, whatever the rounding: theirs against a draw of kGoldenKinkRoundings, in which many do.
constexpr double kGoldenRoundings = 32, kGoldenKinkRoundings = 256;
constexpr int kGoldenDisturbances = 3;

// The outcome of comparing tensors: the worst error in terms of its limit, kept over several comparisons.
struct Judgement {
  double error = 0, limit = 0;
  bool pass = true;
  void add(double e, double l);
};

double largest(const std::vector<double>& values);
// max |a - b| / max |b|; 0 / 0 is 0; infinite where sizes differ or one of a is not finite.
double relative_error(const std::vector<double>& got, const std::vector<double>& wanted);
// The f32 limit of the policy, relative to max |wanted|, from the plain loop's result.
double budget(const std::vector<double>& plain, const std::vector<double>& wanted, double factor = kBudgetFactor);
double bf16_budget(const std::vector<double>& plain, const std::vector<double>& wanted);
double tf32_budget(const std::vector<double>& plain, const std::vector<double>& wanted);
// To the nearest number that bf16 or tf32 holds.
double rounded_to_bf16(double v);
double rounded_to_tf32(double v);

}  // namespace taut::cases
