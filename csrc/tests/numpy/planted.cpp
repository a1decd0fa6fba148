#include "tests/planted/planted.h"

#include "tests/numpy/arrays.h"

namespace vidpred {
namespace {

// Of a float32 image (height, width).
Array box_sum(const Array& image, bool with_barrier) {
  OptionalArray sums = poisoned(image.dtype(), shape_of(image));
  raise_if(planted::box_sum(static_cast<const float*>(image.data()), mutable_data<float>(sums),
                            int(image.shape(0)), int(image.shape(1)), with_barrier));
  return *sums;
}

}  // namespace

void add_planted(py::module_& m) {
  m.def("planted_box_sum", &box_sum, py::arg("image"), py::arg("with_barrier"));
}

}  // namespace vidpred
