// A device for TensorFlow, "MY_NPU", whose memory is the CPU's. Whatever is put into a stream is
// done at once, so that streams, events and timers hold nothing.

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "tensorflow/c/experimental/stream_executor/stream_executor.h"
#include "tensorflow/c/tf_status.h"

struct SP_Stream_st {};
struct SP_Event_st {};
struct SP_Timer_st {};

namespace {

constexpr size_t kAlignment = 64;

void* Allocate(uint64_t size) {
  const uint64_t whole = (size + kAlignment - 1) / kAlignment * kAlignment;
  return std::aligned_alloc(kAlignment, whole);
}

void Fine(TF_Status* status) { TF_SetStatus(status, TF_OK, ""); }

void FillStreamExecutor(SP_StreamExecutor* executor) {
  executor->allocate = [](const SP_Device*, uint64_t size, int64_t, SP_DeviceMemoryBase* memory) {
    memory->struct_size = SP_DEVICE_MEMORY_BASE_STRUCT_SIZE;
    memory->opaque = Allocate(size);
    memory->size = size;
  };
  executor->deallocate = [](const SP_Device*, SP_DeviceMemoryBase* memory) {
    std::free(memory->opaque);
    memory->opaque = nullptr;
    memory->size = 0;
  };
  executor->host_memory_allocate = [](const SP_Device*, uint64_t size) { return Allocate(size); };
  executor->host_memory_deallocate = [](const SP_Device*, void* memory) { std::free(memory); };
  executor->get_allocator_stats = [](const SP_Device*, SP_AllocatorStats*) -> TF_Bool { return 0; };
  executor->device_memory_usage = [](const SP_Device*, int64_t* free, int64_t* total) -> TF_Bool {
    *free = *total = int64_t{1} << 30;
    return 1;
  };

  executor->create_stream = [](const SP_Device*, SP_Stream* stream, TF_Status* status) {
    *stream = new SP_Stream_st;
    Fine(status);
  };
  executor->destroy_stream = [](const SP_Device*, SP_Stream stream) { delete stream; };
  executor->create_stream_dependency = [](const SP_Device*, SP_Stream, SP_Stream,
                                          TF_Status* status) { Fine(status); };
  executor->get_stream_status = [](const SP_Device*, SP_Stream, TF_Status* status) {
    Fine(status);
  };

  executor->create_event = [](const SP_Device*, SP_Event* event, TF_Status* status) {
    *event = new SP_Event_st;
    Fine(status);
  };
  executor->destroy_event = [](const SP_Device*, SP_Event event) { delete event; };
  executor->get_event_status = [](const SP_Device*, SP_Event) { return SE_EVENT_COMPLETE; };
  executor->record_event = [](const SP_Device*, SP_Stream, SP_Event, TF_Status* status) {
    Fine(status);
  };
  executor->wait_for_event = [](const SP_Device* const, SP_Stream, SP_Event,
                                TF_Status* const status) { Fine(status); };
  executor->block_host_for_event = [](const SP_Device*, SP_Event, TF_Status* status) {
    Fine(status);
  };
  executor->block_host_until_done = [](const SP_Device*, SP_Stream, TF_Status* status) {
    Fine(status);
  };
  executor->synchronize_all_activity = [](const SP_Device*, TF_Status* status) { Fine(status); };

  executor->create_timer = [](const SP_Device*, SP_Timer* timer, TF_Status* status) {
    *timer = new SP_Timer_st;
    Fine(status);
  };
  executor->destroy_timer = [](const SP_Device*, SP_Timer timer) { delete timer; };
  executor->start_timer = [](const SP_Device*, SP_Stream, SP_Timer, TF_Status* status) {
    Fine(status);
  };
  executor->stop_timer = [](const SP_Device*, SP_Stream, SP_Timer, TF_Status* status) {
    Fine(status);
  };

  executor->memcpy_dtoh = [](const SP_Device*, SP_Stream, void* to, const SP_DeviceMemoryBase* from,
                             uint64_t size, TF_Status* status) {
    std::memcpy(to, from->opaque, size);
    Fine(status);
  };
  executor->memcpy_htod = [](const SP_Device*, SP_Stream, SP_DeviceMemoryBase* to, const void* from,
                             uint64_t size, TF_Status* status) {
    std::memcpy(to->opaque, from, size);
    Fine(status);
  };
  executor->memcpy_dtod = [](const SP_Device*, SP_Stream, SP_DeviceMemoryBase* to,
                             const SP_DeviceMemoryBase* from, uint64_t size, TF_Status* status) {
    std::memcpy(to->opaque, from->opaque, size);
    Fine(status);
  };
  executor->sync_memcpy_dtoh = [](const SP_Device*, void* to, const SP_DeviceMemoryBase* from,
                                  uint64_t size, TF_Status* status) {
    std::memcpy(to, from->opaque, size);
    Fine(status);
  };
  executor->sync_memcpy_htod = [](const SP_Device*, SP_DeviceMemoryBase* to, const void* from,
                                  uint64_t size, TF_Status* status) {
    std::memcpy(to->opaque, from, size);
    Fine(status);
  };
  executor->sync_memcpy_dtod = [](const SP_Device*, SP_DeviceMemoryBase* to,
                                  const SP_DeviceMemoryBase* from, uint64_t size,
                                  TF_Status* status) {
    std::memcpy(to->opaque, from->opaque, size);
    Fine(status);
  };
  executor->mem_zero = [](const SP_Device*, SP_Stream, SP_DeviceMemoryBase* to, uint64_t size,
                          TF_Status* status) {
    std::memset(to->opaque, 0, size);
    Fine(status);
  };
  executor->memset = [](const SP_Device*, SP_Stream, SP_DeviceMemoryBase* to, uint8_t pattern,
                        uint64_t size, TF_Status* status) {
    std::memset(to->opaque, pattern, size);
    Fine(status);
  };
  executor->memset32 = [](const SP_Device*, SP_Stream, SP_DeviceMemoryBase* to, uint32_t pattern,
                          uint64_t size, TF_Status* status) {
    for (uint64_t i = 0; i < size / sizeof(pattern); ++i) {
      std::memcpy(static_cast<char*>(to->opaque) + i * sizeof(pattern), &pattern, sizeof(pattern));
    }
    Fine(status);
  };
  executor->host_callback = [](const SP_Device*, SP_Stream, SE_StatusCallbackFn callback,
                               void* argument) -> TF_Bool {
    TF_Status* status = TF_NewStatus();
    callback(argument, status);
    const bool fine = TF_GetCode(status) == TF_OK;
    TF_DeleteStatus(status);
    return fine;
  };
}

void FillPlatformFunctions(SP_PlatformFns* functions) {
  functions->get_device_count = [](const SP_Platform*, int* count, TF_Status* status) {
    *count = 1;
    Fine(status);
  };
  functions->create_device = [](const SP_Platform*, SE_CreateDeviceParams* params,
                                TF_Status* status) {
    params->device->struct_size = SP_DEVICE_STRUCT_SIZE;
    params->device->hardware_name = "loops over the definition";
    params->device->device_vendor = "tf_dwbp's tests";
    params->device->pci_bus_id = "";
    Fine(status);
  };
  functions->destroy_device = [](const SP_Platform*, SP_Device*) {};
  functions->create_device_fns = [](const SP_Platform*, SE_CreateDeviceFnsParams* params,
                                    TF_Status* status) {
    params->device_fns->struct_size = SP_DEVICE_FNS_STRUCT_SIZE;
    Fine(status);
  };
  functions->destroy_device_fns = [](const SP_Platform*, SP_DeviceFns*) {};
  functions->create_stream_executor = [](const SP_Platform*, SE_CreateStreamExecutorParams* params,
                                         TF_Status* status) {
    params->stream_executor->struct_size = SP_STREAMEXECUTOR_STRUCT_SIZE;
    FillStreamExecutor(params->stream_executor);
    Fine(status);
  };
  functions->destroy_stream_executor = [](const SP_Platform*, SP_StreamExecutor*) {};
  functions->create_timer_fns = [](const SP_Platform*, SP_TimerFns* timer, TF_Status* status) {
    timer->nanoseconds = [](SP_Timer) -> uint64_t { return 0; };
    Fine(status);
  };
  functions->destroy_timer_fns = [](const SP_Platform*, SP_TimerFns*) {};
}

}  // namespace

extern "C" void SE_InitPlugin(SE_PlatformRegistrationParams* params, TF_Status* status) {
  params->platform->struct_size = SP_PLATFORM_STRUCT_SIZE;
  params->platform->name = "LOOPS";
  params->platform->type = "MY_NPU";
  params->platform->supports_unified_memory = 0;
  // Without TensorFlow's allocator in between, what is freed is what is allocated next.
  params->platform->use_bfc_allocator = 0;
  params->platform_fns->struct_size = SP_PLATFORM_FNS_STRUCT_SIZE;
  FillPlatformFunctions(params->platform_fns);
  params->destroy_platform = [](SP_Platform*) {};
  params->destroy_platform_fns = [](SP_PlatformFns*) {};
  Fine(status);
}
