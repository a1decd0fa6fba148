#include "kernels/sample_pixels/sample_pixels.h"

#include "tests/numpy/arrays.h"

namespace vidpred {
namespace {

// Returns image and logits. The tables are int64, all else is float32; see vidpred/ops/sample_pixels.py.
py::tuple sample(const std::string& place, const Array& own, const Array& main, const Array& caches,
                 const Array& weights, const Array& context, const Array& noise, int64_t registers,
                 int64_t logits_register, int64_t levels, int64_t delay, int64_t cache_size,
                 int64_t most_inputs, float inverse_temperature) {
  const PixelGrid grid{noise.shape(0), noise.shape(2), noise.shape(3), delay};
  const int64_t colors = noise.shape(1);
  OptionalArray image = poisoned(noise.dtype(), shape_of(noise));
  OptionalArray logits = poisoned(noise.dtype(), {grid.batch, colors * levels, grid.height, grid.width});
  std::vector<float> cached(cache_size);
  const auto lines_of = [](const Array& lines) {
    return PixelInstructions{data<PixelInstruction>(lines), lines.shape(0)};
  };
  const PixelProgram program{lines_of(own),
                             lines_of(main),
                             data<PixelCache>(caches),
                             data<float>(weights),
                             registers,
                             logits_register,
                             colors,
                             levels};
  const PixelBuffers buffers{data<float>(context),       context.shape(3), data<float>(noise),
                             inverse_temperature,        cached.data(),    mutable_data<float>(image),
                             mutable_data<float>(logits)};
  if (const auto set = instruction_set_of(place)) {
    for (int64_t step = 0; step < sample_pixels_steps(grid); ++step) {
      const int64_t pixels = sample_pixels_in_step(grid, step);
      std::vector<float> scratch(pixels * registers, NAN);
      // Two parts, the later one first: the order of pixels in a step does not matter.
      const int64_t middle = pixels / 3;
      sample_pixels_cpu(*set, program, grid, buffers, step, scratch.data(), middle, pixels);
      sample_pixels_cpu(*set, program, grid, buffers, step, scratch.data(), 0, middle);
    }
  } else {
    raise_if(sample_pixels_cuda(program, grid, buffers, most_inputs, nullptr));
  }
  return py::make_tuple(image, logits);
}

}  // namespace

void add_sample_pixels(py::module_& m) { m.def("sample_pixels", &sample); }

}  // namespace vidpred
