#include <algorithm>
#include <type_traits>

#include "common/divide_up.h"
#include "kernels/flow_warp/flow_warp.h"
#include "kernels/flow_warp/flow_warp_math.h"

namespace vidpred {
namespace {

// Channels that are warped together, side by side in memory.
constexpr int64_t block_channels = 8;

// Channels [first, end) of a sample, in whole blocks but for the last.
struct FlowWarpTask {
  int64_t sample, group, first_channel, end_channel;
};

// With few samples their channels are shared out too, so that several threads have work.
class FlowWarpTasks {
 public:
  explicit FlowWarpTasks(const FlowWarpShape& shape)
      : shape_(shape),
        blocks_(divide_up(shape.channels, block_channels)),
        groups_(std::clamp<int64_t>(divide_up(wanted_tasks, std::max<int64_t>(shape.batch, 1)), 1,
                                    std::max<int64_t>(blocks_, 1))) {}

  int64_t groups() const { return groups_; }
  int64_t count() const { return shape_.pixels() ? shape_.batch * groups_ : 0; }

  FlowWarpTask operator[](int64_t index) const {
    const int64_t group = index % groups_;
    const auto channel = [&](int64_t g) {
      return std::min(blocks_ * g / groups_ * block_channels, shape_.channels);
    };
    return {index / groups_, group, channel(group), channel(group + 1)};
  }

 private:
  static constexpr int64_t wanted_tasks = 8;

  const FlowWarpShape& shape_;
  int64_t blocks_, groups_;
};

}  // namespace
}  // namespace vidpred

#define VP_LOOPS "kernels/flow_warp/flow_warp_cpu_loops.h"
#include "common/per_instruction_set.h"

namespace vidpred {

int64_t flow_warp_cpu_groups(const FlowWarpShape& shape) { return FlowWarpTasks(shape).groups(); }

int64_t flow_warp_cpu_tasks(const FlowWarpShape& shape) { return FlowWarpTasks(shape).count(); }

template <class T>
int64_t flow_warp_cpu_scratch(const FlowWarpShape& shape) {
  if (!shape.channels_last) {
    return 2 * shape.pixels() * block_channels;  // a block of features, and one of their gradients
  }
  // A pixel of zeros and one to ignore; and all gradients if they are not added up in the result.
  return (2 + (std::is_same_v<T, accumulate_t<T>> ? 0 : shape.pixels())) * shape.channels;
}

// The version of a function for a layout and a padding.
#define VP_FLOW_WARP(set, function)                                                                                \
  (shape.channels_last                   ? shape.padding == FlowPadding::zeros                                     \
                                               ? VP_VERSION(set, function##_channels_last<T, FlowPadding::zeros>)  \
                                               : VP_VERSION(set, function##_channels_last<T, FlowPadding::border>) \
   : shape.padding == FlowPadding::zeros ? VP_VERSION(set, function##_contiguous<T, FlowPadding::zeros>)           \
                                         : VP_VERSION(set, function##_contiguous<T, FlowPadding::border>))

template <class T>
void flow_warp_forward_cpu(InstructionSet set, const FlowWarpShape& shape, const T* features, const T* flow,
                           T* warped, accumulate_t<T>* scratch, int64_t begin, int64_t end) {
  const auto task_function = VP_FLOW_WARP(set, forward);
  const FlowWarpTasks tasks(shape);
  for (int64_t index = begin; index < end; ++index) {
    task_function(shape, features, flow, warped, scratch, tasks[index]);
  }
}

template <class T>
void flow_warp_backward_cpu(InstructionSet set, const FlowWarpShape& shape, const T* features, const T* flow,
                            const T* grad_warped, const FlowWarpGradients<T>& wanted,
                            accumulate_t<T>* scratch, int64_t begin, int64_t end) {
  const auto task_function = VP_FLOW_WARP(set, backward);
  const FlowWarpTasks tasks(shape);
  for (int64_t index = begin; index < end; ++index) {
    task_function(shape, features, flow, grad_warped, wanted, scratch, tasks[index]);
  }
}

#undef VP_FLOW_WARP

#define VP_INSTANTIATE(T)                                                                                  \
  template int64_t flow_warp_cpu_scratch<T>(const FlowWarpShape&);                                         \
  template void flow_warp_forward_cpu(InstructionSet, const FlowWarpShape&, const T*, const T*, T*,        \
                                      accumulate_t<T>*, int64_t, int64_t);                                 \
  template void flow_warp_backward_cpu(InstructionSet, const FlowWarpShape&, const T*, const T*, const T*, \
                                       const FlowWarpGradients<T>&, accumulate_t<T>*, int64_t, int64_t);
VP_INSTANTIATE(float)
VP_INSTANTIATE(double)
VP_INSTANTIATE(float16)
VP_INSTANTIATE(bfloat16)
#undef VP_INSTANTIATE

}  // namespace vidpred
