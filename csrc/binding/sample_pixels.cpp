// vidpred::sample_pixels: check, allocate, launch. vidpred/ops/sample_pixels.py documents the arguments; the
// program comes from vidpred/nn/masked_conv. The checks here guard the memory, as far as the sizes of
// tensors do: a program itself is trusted.
#include "kernels/sample_pixels/sample_pixels.h"

#include <torch/csrc/stable/library.h>

#include <tuple>

#include "binding/launch.h"
#include "binding/tensors.h"

namespace vidpred {
namespace {

constexpr int64_t line_numbers = sizeof(PixelInstruction) / sizeof(int64_t);
constexpr int64_t cache_numbers = sizeof(PixelCache) / sizeof(int64_t);

// `tensor` in contiguous memory, after checking its dtype, device and last size.
Tensor table_of(const Tensor& tensor, int64_t columns, const Tensor& noise) {
  STD_TORCH_CHECK(tensor.dim() == 2 && tensor.size(1) == columns && tensor.scalar_type() == ScalarType::Long,
                  "sample_pixels: expected int64 of shape (lines, ", columns, ")");
  STD_TORCH_CHECK(tensor.get_device_index() == noise.get_device_index(), "expected all on one device");
  return torch::stable::contiguous(tensor);
}

struct Call {
  Call(const Tensor& own, const Tensor& main, const Tensor& caches, const Tensor& weights,
       const Tensor& context, const Tensor& noise, int64_t registers, int64_t logits, int64_t levels,
       int64_t delay, int64_t cache_size, double inverse_temperature)
      : own(table_of(own, line_numbers, noise)),
        main(table_of(main, line_numbers, noise)),
        caches(table_of(caches, cache_numbers, noise)),
        weights(contiguous_like(weights, noise, weights.numel())),
        context(contiguous_like(context, noise, context.numel())),
        noise(contiguous_like(noise, noise, noise.numel())),
        cached(torch::stable::new_zeros(noise, {cache_size})),
        image(torch::stable::empty_like(this->noise)),
        grid{noise.size(0), noise.size(2), noise.size(3), delay} {
    STD_TORCH_CHECK(noise.scalar_type() == ScalarType::Float, "sample_pixels computes in float32");
    STD_TORCH_CHECK(context.dim() == 4 && context.size(0) == grid.batch && context.size(1) == grid.height &&
                        context.size(2) == grid.width,
                    "sample_pixels: context must have shape (N, H, W, C)");
    const int64_t colors = noise.size(1);
    this->logits = torch::stable::new_empty(noise, {grid.batch, colors * levels, grid.height, grid.width});
    program = {instructions(this->own),
               instructions(this->main),
               static_cast<const PixelCache*>(this->caches.const_data_ptr()),
               data<float>(this->weights),
               registers,
               logits,
               colors,
               levels};
    buffers = {data<float>(this->context),       context.size(3),
               data<float>(this->noise),         float(inverse_temperature),
               mutable_data<float>(cached),      mutable_data<float>(image),
               mutable_data<float>(this->logits)};
  }

  static PixelInstructions instructions(const Tensor& lines) {
    return {static_cast<const PixelInstruction*>(lines.const_data_ptr()), lines.size(0)};
  }

  Tensor own, main, caches, weights, context, noise, cached, image;
  OptionalTensor logits;
  PixelGrid grid;
  PixelProgram program;
  PixelBuffers buffers;
};

std::tuple<Tensor, Tensor> on_cpu(const Tensor& own, const Tensor& main, const Tensor& caches,
                                  const Tensor& weights, const Tensor& context, const Tensor& noise,
                                  int64_t registers, int64_t logits, int64_t levels, int64_t delay,
                                  int64_t cache_size, int64_t /*most_inputs*/, double inverse_temperature) {
  const Call call(own, main, caches, weights, context, noise, registers, logits, levels, delay, cache_size,
                  inverse_temperature);
  const OptionalTensor scratch =
      torch::stable::new_empty(noise, {call.grid.batch * call.grid.height, registers});
  float* const scratch_data = mutable_data<float>(scratch);
  for (int64_t step = 0; step < sample_pixels_steps(call.grid); ++step) {
    run_on_cpu(sample_pixels_in_step(call.grid, step), [&](int64_t begin, int64_t end) {
      sample_pixels_cpu(instruction_set(), call.program, call.grid, call.buffers, step,
                        scratch_data + begin * registers, begin, end);
    });
  }
  return {call.image, *call.logits};
}

#ifdef VP_CUDA
std::tuple<Tensor, Tensor> on_cuda(const Tensor& own, const Tensor& main, const Tensor& caches,
                                   const Tensor& weights, const Tensor& context, const Tensor& noise,
                                   int64_t registers, int64_t logits, int64_t levels, int64_t delay,
                                   int64_t cache_size, int64_t most_inputs, double inverse_temperature) {
  const Call call(own, main, caches, weights, context, noise, registers, logits, levels, delay, cache_size,
                  inverse_temperature);
  launch_on_cuda(noise, [&](void* stream) {
    return sample_pixels_cuda(call.program, call.grid, call.buffers, most_inputs, stream);
  });
  return {call.image, *call.logits};
}
#endif

}  // namespace
}  // namespace vidpred

STABLE_TORCH_LIBRARY_FRAGMENT(vidpred, m) {
  m.def(
      "sample_pixels(Tensor own, Tensor main, Tensor caches, Tensor weights, Tensor context, Tensor noise, "
      "int registers, int logits, int levels, int delay, int cache_size, int most_inputs, "
      "float inverse_temperature) -> (Tensor image, Tensor logits)");
}

STABLE_TORCH_LIBRARY_IMPL(vidpred, CPU, m) { m.impl("sample_pixels", TORCH_BOX(&vidpred::on_cpu)); }

#ifdef VP_CUDA
STABLE_TORCH_LIBRARY_IMPL(vidpred, CUDA, m) { m.impl("sample_pixels", TORCH_BOX(&vidpred::on_cuda)); }
#endif
