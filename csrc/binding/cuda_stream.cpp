#include "binding/cuda_stream.h"

#include <dlfcn.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/headeronly/util/Exception.h>

namespace vidpred {
namespace {

// The stable ABI offers a stream's handle from torch 2.13 on only, so it is asked of the library that has
// long had it. It is looked up at run time, since this extension also loads where torch has no CUDA.
using GetStream = AOTITorchError (*)(int32_t device_index, void** stream);

GetStream find_get_stream() {
  void* torch_cuda = dlopen("libtorch_cuda.so", RTLD_LAZY | RTLD_NOLOAD);
  STD_TORCH_CHECK(torch_cuda, "this torch was built without CUDA");
  void* symbol = dlsym(torch_cuda, "aoti_torch_get_current_cuda_stream");
  STD_TORCH_CHECK(symbol, "this torch does not tell its current CUDA stream");
  return reinterpret_cast<GetStream>(symbol);
}

}  // namespace

void* current_cuda_stream(int32_t device_index) {
  static const GetStream get_stream = find_get_stream();
  void* stream = nullptr;
  STD_TORCH_CHECK(get_stream(device_index, &stream) == AOTI_TORCH_SUCCESS,
                  "no current CUDA stream on device ", device_index);
  return stream;
}

}  // namespace vidpred
