// A stand-in for CUDA's runtime and driver: memory is the host's, kernels return at once.
//
// Loaded before torch's own libraries it makes a CUDA build of torch find GPUs. What is read back
// from them is 0; nothing is ever computed. Functions are written by their names alone, without
// CUDA's headers but for structures: C's calling convention lets a function leave out parameters.
#include <driver_types.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <sys/mman.h>

#define C extern "C"
#define MAKES_A_HANDLE(name) C int name(void **handle) { *handle = calloc(1, 4096); return 0; }
#define LAUNCHES(name) C int name() { launched++; return 0; }

namespace {
struct Block { size_t bytes; int device; };
typedef std::map<char *, Block> Blocks;

const int MOST_DEVICES = 8;
std::mutex guard;
Blocks on_device, pinned;
size_t used[MOST_DEVICES];
std::map<void *, long> capturing;  // streams, with what had been launched when their capture began
long launched, waited, graphs_recorded, graphs_launched;
thread_local int current, last_error;

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
// Waiting is what a capture does not allow, and what training should not do.
int wait_for(void *stream) {
  std::lock_guard<std::mutex> lock(guard);
  waited++;
  return capturing.count(stream) ? fail(cudaErrorStreamCaptureUnsupported) : 0;
}
}  // namespace

// What tests ask.
C long stand_in_launched() { return launched; }
C long stand_in_waited() { return waited; }
C long stand_in_graphs_recorded() { return graphs_recorded; }
C long stand_in_graphs_launched() { return graphs_launched; }

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
LAUNCHES(cudaLaunchKernel) LAUNCHES(__cudaLaunchKernel) LAUNCHES(cudaLaunchKernelExC)
LAUNCHES(cuLaunchKernel) LAUNCHES(cuLaunchKernelEx) LAUNCHES(cudnnBackendExecute)
C int __cudaGetKernel(void **kernel, void *function) { *kernel = function; return 0; }
C int __cudaPopCallConfiguration(int *, int *, size_t *shared, void **stream) { *shared = 0, *stream = 0; return 0; }
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
C int cudaDeviceSynchronize() { return wait_for(capturing.empty() ? nullptr : capturing.begin()->first); }
C int cudaEventSynchronize(void *) { waited++; return 0; }
C int cudaStreamBeginCapture(void *stream) {
  std::lock_guard<std::mutex> lock(guard);
  capturing[stream] = launched;
  return 0;
}
C int cudaStreamEndCapture(void *stream, void **graph) {
  std::lock_guard<std::mutex> lock(guard);
  *graph = new long(launched - capturing[stream]);
  capturing.erase(stream);
  graphs_recorded++;
  return 0;
}
C int cudaStreamIsCapturing(void *stream, int *is) { *is = capturing.count(stream); return 0; }
C int cudaStreamGetCaptureInfo(void *stream, int *is, unsigned long long *id) {
  *is = capturing.count(stream);
  if (id) *id = 1;
  return 0;
}
C int cudaThreadExchangeStreamCaptureMode(int *) { return 0; }
C int cudaGraphGetNodes(long *graph, void *, size_t *nodes) { *nodes = *graph; return 0; }
MAKES_A_HANDLE(cudaGraphInstantiate) MAKES_A_HANDLE(cudaGraphInstantiateWithFlags)
C int cudaGraphLaunch() { graphs_launched++; return 0; }

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
C int cuStreamIsCapturing(void *stream, int *is) { return cudaStreamIsCapturing(stream, is); }
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
