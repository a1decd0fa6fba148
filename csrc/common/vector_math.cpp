#include "common/vector_math.h"

namespace vidpred {

template <>
const float Exp2Range<float>::least = -126;
template <>
const float Exp2Range<float>::most = 126;
template <>
const double Exp2Range<double>::least = -1022;
template <>
const double Exp2Range<double>::most = 1022;

}  // namespace vidpred
