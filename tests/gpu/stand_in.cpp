// A stand-in for CUDA's runtime and driver: memory is the host's, kernels return at once.
//
// Loaded before torch's own libraries it makes a CUDA build of torch find GPUs. What is read back
// from them is 0; nothing is ever computed. Functions are written by their names alone, without
// CUDA's headers but for structures: C's calling convention lets a function leave out parameters.
#include <driver_types.h>
#include <vector_types.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <sys/mman.h>

#define C extern "C"
#define MAKES_A_HANDLE(name) C int name(void **handle) { *handle = calloc(1, 4096); return 0; }

namespace {
struct Block { size_t bytes; int device; };
struct Capture { long kernels; bool broken; };  // of a stream
typedef std::map<char *, Block> Blocks;

const int MOST_DEVICES = 8;
std::mutex guard;
Blocks on_device, pinned;
size_t used[MOST_DEVICES];
std::map<void *, Capture> captures;
long launched, waited;
thread_local int current, last_error, capture_mode = cudaStreamCaptureModeRelaxed;
thread_local void *pushed;  // stream of the kernel that is about to be launched

int setting(const char *name, int otherwise) { const char *s = getenv(name); return s ? atoi(s) : otherwise; }
int devices() { return setting("STAND_IN_GPUS", 1); }
size_t bytes_of_one() { return size_t(setting("STAND_IN_GIB", 80)) << 30; }

Block *find(Blocks &blocks, void *place) {
  auto after = blocks.upper_bound((char *)place);
  if (after == blocks.begin()) return nullptr;
  auto block = std::prev(after);
  return place < block->first + block->second.bytes ? &block->second : nullptr;
}
int fail(int error) { return last_error = error; }
// A kernel is a part of the graph that its stream records; on another one it runs, unrecorded.
int launch_on(void *stream) {
  std::lock_guard<std::mutex> lock(guard);
  launched++;
  auto capture = captures.find(stream);
  if (capture != captures.end()) capture->second.kernels++;
  return 0;
}
// What a capture does not allow breaks it; it is told again when the capture ends.
int break_captures(void *only = nullptr) {
  bool any = false;
  for (auto &capture : captures)
    if (!only || capture.first == only) any = capture.second.broken = true;
  return any ? fail(cudaErrorStreamCaptureUnsupported) : 0;
}
int wait_for(void *stream) {
  std::lock_guard<std::mutex> lock(guard);
  waited++;
  return captures.count(stream) ? break_captures(stream) : 0;
}
int status_of(void *stream) {
  auto capture = captures.find(stream);
  if (capture == captures.end()) return cudaStreamCaptureStatusNone;
  return capture->second.broken ? cudaStreamCaptureStatusInvalidated : cudaStreamCaptureStatusActive;
}
}  // namespace

// What tests ask.
C long stand_in_launched() { return launched; }
C long stand_in_waited() { return waited; }

// Devices: H100s as far as torch asks.
C int cudaGetDeviceCount(int *count) { *count = devices(); return 0; }
C int cudaGetDevice(int *device) { *device = current; return 0; }
C int cudaSetDevice(int device) {
  if (device < 0 || device >= devices()) return fail(cudaErrorInvalidDevice);
  current = device;
  return 0;
}
C int cudaDriverGetVersion(int *version) { *version = 13020; return 0; }
C int cudaRuntimeGetVersion(int *version) { *version = 13020; return 0; }
C int cudaGetLastError() { int error = last_error; last_error = 0; return error; }
C int cudaPeekAtLastError() { return last_error; }
C const char *cudaGetErrorString(int) { return "an error of the stand-in"; }
C const char *cudaGetErrorName(int) { return "stand-in"; }
C int cudaGetDeviceProperties(cudaDeviceProp *p, int device) {
  memset(p, 0, sizeof *p);
  sprintf(p->name, "stand-in %d", device);
  p->major = 9;
  p->totalGlobalMem = bytes_of_one();
  p->multiProcessorCount = 132, p->warpSize = 32, p->maxThreadsPerMultiProcessor = 2048;
  p->maxThreadsPerBlock = p->maxThreadsDim[0] = p->maxThreadsDim[1] = 1024, p->maxThreadsDim[2] = 64;
  p->maxGridSize[0] = 1 << 30, p->maxGridSize[1] = p->maxGridSize[2] = 65535;
  p->sharedMemPerBlock = 49152, p->sharedMemPerBlockOptin = p->sharedMemPerMultiprocessor = 232448;
  p->regsPerMultiprocessor = p->regsPerBlock = 65536, p->l2CacheSize = 50 << 20;
  return 0;
}
static int attribute(int *value, int which) {
  switch (which) {
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = 49152; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = 232448; break;
    case cudaDevAttrWarpSize: *value = 32; break;
    case cudaDevAttrMultiProcessorCount: *value = 132; break;
    case cudaDevAttrMaxRegistersPerBlock: *value = 65536; break;
    case cudaDevAttrMaxThreadsPerMultiProcessor: *value = 2048; break;
    case cudaDevAttrComputeCapabilityMajor: *value = 9; break;
    case cudaDevAttrComputeCapabilityMinor: *value = 0; break;
    default: *value = 1024;
  }
  return 0;
}
C int cudaDeviceGetAttribute(int *value, int which, int) { return attribute(value, which); }
C int cudaDeviceGetStreamPriorityRange(int *least, int *most) { *least = 0, *most = -5; return 0; }
C int cudaDeviceCanAccessPeer(int *can, int, int) { *can = 0; return 0; }
C int cudaDeviceGetPCIBusId(char *id, int length, int) { strncpy(id, "0000:00:00.0", length); return 0; }

// Memory.
C int cudaMemGetInfo(size_t *free, size_t *all) {
  *all = bytes_of_one(), *free = *all - used[current];
  return 0;
}
C int cudaMalloc(void **place, size_t bytes) {
  std::lock_guard<std::mutex> lock(guard);
  if (capture_mode != cudaStreamCaptureModeRelaxed && break_captures()) return last_error;
  if (used[current] + bytes > bytes_of_one()) return fail(cudaErrorMemoryAllocation);
  *place = mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  on_device[(char *)*place] = {bytes, current};
  used[current] += bytes;
  return 0;
}
C int cudaFree(void *place) {
  std::lock_guard<std::mutex> lock(guard);
  auto block = on_device.find((char *)place);
  if (block != on_device.end()) {
    munmap(place, block->second.bytes);
    used[block->second.device] -= block->second.bytes;
    on_device.erase(block);
  }
  return 0;
}
C int cudaHostAlloc(void **place, size_t bytes, unsigned) {
  *place = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
  std::lock_guard<std::mutex> lock(guard);
  pinned[(char *)*place] = {bytes, 0};
  return 0;
}
C int cudaFreeHost(void *place) {
  std::lock_guard<std::mutex> lock(guard);
  if (pinned.erase((char *)place)) free(place);
  return 0;
}
C int cudaPointerGetAttributes(cudaPointerAttributes *a, void *place) {
  std::lock_guard<std::mutex> lock(guard);
  memset(a, 0, sizeof *a);
  a->devicePointer = a->hostPointer = place;
  Block *block = find(on_device, place);
  a->device = block ? block->device : 0;
  a->type = block ? cudaMemoryTypeDevice : find(pinned, place) ? cudaMemoryTypeHost : cudaMemoryTypeUnregistered;
  return 0;
}
C int cudaMemcpyAsync(void *to, void *from, size_t bytes) {
  std::lock_guard<std::mutex> lock(guard);
  if (find(on_device, to)) return 0;
  if (find(on_device, from)) memset(to, 0, bytes);
  else memmove(to, from, bytes);
  return 0;
}
C int cudaMemcpy(void *to, void *from, size_t bytes) { waited++; return cudaMemcpyAsync(to, from, bytes); }

// Kernels.
C int cudaLaunchKernel(void *, dim3, dim3, void **, size_t, void *stream) { return launch_on(stream); }
C int __cudaLaunchKernel(void *, dim3, dim3, void **, size_t, void *stream) { return launch_on(stream); }
C int cudaLaunchKernelExC(const cudaLaunchConfig_t *how) { return launch_on(how->stream); }
C int cuLaunchKernel(void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void *stream) {
  return launch_on(stream);
}
C int cuLaunchKernelEx(char *how) { return launch_on(*(void **)(how + 32)); }  // after eight numbers
C int cudnnSetStream(void **handle, void *stream) { *handle = stream; return 0; }
C int cudnnBackendExecute(void **handle) { return launch_on(*handle); }
C int __cudaGetKernel(void **kernel, void *function) { *kernel = function; return 0; }
C unsigned __cudaPushCallConfiguration(dim3, dim3, size_t, void *stream) { pushed = stream; return 0; }
C int __cudaPopCallConfiguration(dim3 *, dim3 *, size_t *shared, void **stream) {
  *shared = 0, *stream = pushed;
  return 0;
}
C void **__cudaRegisterFatBinary() { static void *handle[1]; return handle; }
C int cudaFuncGetAttributes(cudaFuncAttributes *a) {
  memset(a, 0, sizeof *a);
  a->maxThreadsPerBlock = 1024, a->ptxVersion = a->binaryVersion = 90;
  return 0;
}
C int cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks) { *blocks = 2; return 0; }
C int cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks) { *blocks = 2; return 0; }

// Streams, events, graphs.
MAKES_A_HANDLE(cudaStreamCreate) MAKES_A_HANDLE(cudaStreamCreateWithPriority)
MAKES_A_HANDLE(cudaStreamCreateWithFlags) MAKES_A_HANDLE(cudaEventCreate)
MAKES_A_HANDLE(cudaEventCreateWithFlags) MAKES_A_HANDLE(cudaGetSymbolAddress)
C int cudaEventElapsedTime(float *ms) { *ms = 1; return 0; }
C int cudaStreamSynchronize(void *stream) { return wait_for(stream); }
C int cudaDeviceSynchronize() {
  std::lock_guard<std::mutex> lock(guard);
  waited++;
  return break_captures();
}
C int cudaEventSynchronize(void *) { waited++; return 0; }
C int cudaStreamBeginCapture(void *stream, int mode) {
  std::lock_guard<std::mutex> lock(guard);
  captures[stream] = {0, false};
  capture_mode = mode;
  return 0;
}
C int cudaStreamEndCapture(void *stream, void **graph) {
  std::lock_guard<std::mutex> lock(guard);
  Capture ended = captures[stream];
  captures.erase(stream);
  capture_mode = cudaStreamCaptureModeRelaxed;
  *graph = ended.broken ? nullptr : new long(ended.kernels);
  return ended.broken ? fail(cudaErrorStreamCaptureInvalidated) : 0;
}
C int cudaStreamIsCapturing(void *stream, int *status) { *status = status_of(stream); return 0; }
C int cudaStreamGetCaptureInfo(void *stream, int *status, unsigned long long *id) {
  *status = status_of(stream);
  if (id) *id = 1;
  return 0;
}
C int cudaThreadExchangeStreamCaptureMode(int *mode) { std::swap(*mode, capture_mode); return 0; }
C int cudaGraphGetNodes(long *graph, void *, size_t *nodes) { *nodes = *graph; return 0; }
MAKES_A_HANDLE(cudaGraphInstantiate) MAKES_A_HANDLE(cudaGraphInstantiateWithFlags)

// The driver, of which Triton and torch's own loader of kernels ask.
C int cuInit() { return 0; }
C int cuDriverGetVersion(int *version) { *version = 13020; return 0; }
C int cuDeviceGetCount(int *count) { *count = devices(); return 0; }
C int cuDeviceGet(int *device, int which) { *device = which; return 0; }
C int cuDeviceGetAttribute(int *value, int which, int) { return attribute(value, which); }
C int cuDevicePrimaryCtxGetState(int, unsigned *flags, int *active) { *flags = 0, *active = 1; return 0; }
MAKES_A_HANDLE(cuDevicePrimaryCtxRetain) MAKES_A_HANDLE(cuCtxGetCurrent)
C int cuCtxGetDevice(int *device) { *device = current; return 0; }
MAKES_A_HANDLE(cuModuleLoadData) MAKES_A_HANDLE(cuModuleLoadDataEx) MAKES_A_HANDLE(cuModuleLoad)
MAKES_A_HANDLE(cuModuleGetFunction)
C int cuFuncGetAttribute(int *value, int which) { *value = which ? 0 : 1024; return 0; }  // 0: threads
C int cuGetErrorString(int, const char **text) { *text = "an error of the stand-in"; return 0; }
C int cuStreamIsCapturing(void *stream, int *status) { return cudaStreamIsCapturing(stream, status); }
C int cuPointerGetAttribute(void **value, int, void *place) { *value = place; return 0; }

// cuBLAS and cuDNN: handles, the first of all plans, no workspace.
MAKES_A_HANDLE(cublasCreate_v2) MAKES_A_HANDLE(cudnnCreate) MAKES_A_HANDLE(cublasLtMatmulDescCreate)
MAKES_A_HANDLE(cublasLtMatmulPreferenceCreate) MAKES_A_HANDLE(cublasLtMatrixLayoutCreate)
C int cublasLtMatmulAlgoGetHeuristic(void *, void *, void *, void *, void *, void *, void *, int, void *result, int *count) {
  *count = 1;
  memset(result, 0, 64);
  return 0;
}
C size_t cudnnGetVersion() { return 92600; }
C int cudnnBackendCreateDescriptor(int, void **handle) { *handle = calloc(1, 4096); return 0; }
C int cudnnBackendGetAttribute(void *, int name, int type, long asked, long *count, void *out) {
  bool none = name == 302 || (1302 <= name && name <= 1305);  // knobs and notes
  if (!none && out && asked && type == 3) *(long *)out = 1;
  if (name == 405 && out && asked > 2) strcpy((char *)out, "{}");  // the plan in JSON
  if (count) *count = name == 405 ? 3 : !none;
  return 0;
}
#define P void *
C int cudnnGetBatchNormalizationTrainingExReserveSpaceSize(P, P, P, P, P, size_t *n) { *n = 0; return 0; }
C int cudnnGetBatchNormalizationForwardTrainingExWorkspaceSize(P, P, P, P, P, P, P, P, size_t *n) { *n = 0; return 0; }
C int cudnnGetBatchNormalizationBackwardExWorkspaceSize(P, P, P, P, P, P, P, P, P, P, size_t *n) { *n = 0; return 0; }
