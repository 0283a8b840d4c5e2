// Elementary functions in double from basic arithmetic alone (IEEE + - * /, exact bit manipulation): the same bytes on
// every machine, which libm, whose bits depend on its version and on the processor, does not give. Error below 1e-14
// relative for exp and log, below 1e-15 absolute for cos.
#pragma once

namespace taut {

double portable_log(double x);  // x > 0
double portable_exp(double x);  // 0 below -700, throws Error(kUsage) above 700
double portable_cos(double x);  // |x| < 1e6

}  // namespace taut
