// From torch's tensors to the pointers and types of the kernels.
#pragma once

#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/Exception.h>

#include <cstdint>
#include <optional>

#include "common/half.h"

namespace vidpred {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;
using OptionalTensor = std::optional<Tensor>;

// Calls kernel(zero), where `zero` has the kernels' type for a dtype.
template <class Kernel>
void for_dtype(ScalarType dtype, Kernel kernel) {
  switch (dtype) {
    case ScalarType::Float:
      return kernel(float());
    case ScalarType::Double:
      return kernel(double());
    case ScalarType::Half:
      return kernel(float16());
    case ScalarType::BFloat16:
      return kernel(bfloat16());
    default:
      STD_TORCH_CHECK(false, "unsupported dtype ", torch::headeronly::toString(dtype));
  }
}

// The dtype of partial sums of tensors of `dtype`.
inline ScalarType accumulate_dtype(ScalarType dtype) {
  return dtype == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
}

// `tensor` in contiguous memory, on CUDA aligned to 16 bytes, after checking that it has so many elements,
// and the dtype and device of `model`.
inline Tensor contiguous_like(const Tensor& tensor, const Tensor& model, int64_t elements) {
  STD_TORCH_CHECK(tensor.numel() == elements, "expected ", elements, " elements, got ", tensor.numel());
  STD_TORCH_CHECK(tensor.scalar_type() == model.scalar_type() && tensor.is_cuda() == model.is_cuda() &&
                      tensor.get_device_index() == model.get_device_index(),
                  "expected all tensors to have one dtype and one device");
  const Tensor dense = torch::stable::contiguous(tensor);
  const bool aligned = reinterpret_cast<uintptr_t>(dense.const_data_ptr()) % 16 == 0;
  return tensor.is_cuda() && !aligned ? torch::stable::clone(dense) : dense;
}

// The same for what may be absent.
inline OptionalTensor contiguous_like(const OptionalTensor& tensor, const Tensor& model, int64_t elements) {
  return tensor ? OptionalTensor(contiguous_like(*tensor, model, elements)) : std::nullopt;
}

// The data of a tensor; null for an absent one.
template <class T>
const T* data(const OptionalTensor& tensor) {
  return tensor ? static_cast<const T*>(tensor->const_data_ptr()) : nullptr;
}

template <class T>
T* mutable_data(const OptionalTensor& tensor) {
  return tensor ? static_cast<T*>(tensor->mutable_data_ptr()) : nullptr;
}

}  // namespace vidpred
