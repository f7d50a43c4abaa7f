/* A CUDA driver that runs nothing and keeps what it is asked to: libcuda.so.1 for tests of what launches kernels.

   What cuda.core asks for when it loads and launches a kernel is here, every other function is said not to exist. As
   the real one it wants cuInit first and a context in the thread that launches, and takes from each parameter's place
   as many bytes as the cubin says. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  SUCCESS = 0, INVALID_VALUE = 1, NOT_INITIALIZED = 3, INVALID_DEVICE = 101, INVALID_IMAGE = 200,
  INVALID_CONTEXT = 201, INVALID_HANDLE = 400, NOT_FOUND = 500, ILLEGAL_STATE = 401
};
enum { DEVICES = 2, PARAMETERS = 64, BYTES = 1024, MANY = 4096 };

typedef int Result;

typedef struct {
  char name[64];
  int count, sizes[PARAMETERS];
} Kernel;

typedef struct {
  char name[64];
  unsigned grid[3], block[3];
  uint64_t stream, context;
  int count, sizes[PARAMETERS];
  unsigned char bytes[BYTES]; /* of the parameters, one after the other */
} Launch;

typedef struct {
  Launch nodes[64];
  int count;
} Graph;

/* CUlaunchConfig */
typedef struct {
  unsigned grid[3], block[3], shared;
  void *stream, *attributes;
  unsigned attribute_count;
} Configuration;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static __thread uintptr_t context;
static int initialised;
static char calls[MANY][64];
static Launch launches[MANY];
static int call_count, launch_count;
static char failing[64];
static Result failure;
static void *capturing;
static Graph *captured;

/* ---- for the tests ---- */

int stub_call_count(void) { return call_count; }
const char *stub_call(int i) { return calls[i]; }
int stub_launch_count(void) { return launch_count; }
const Launch *stub_launch(int i) { return &launches[i]; }
void stub_forget(void) { call_count = launch_count = 0; failing[0] = 0; }

/* The next call of a function gives an error. */
void stub_fail(const char *name, Result code) {
  snprintf(failing, sizeof failing, "%s", name);
  failure = code;
}

static Result enter(const char *name, int needs_context) {
  Result result = SUCCESS;
  pthread_mutex_lock(&lock);
  if (call_count < MANY) snprintf(calls[call_count++], 64, "%s", name);
  if (!initialised && strcmp(name, "cuInit")) result = NOT_INITIALIZED;
  else if (!strcmp(name, failing)) { result = failure; failing[0] = 0; }
  else if (needs_context && !context) result = INVALID_CONTEXT;
  pthread_mutex_unlock(&lock);
  return result;
}

#define ENTER(needs_context) \
  do { Result result = enter(__func__, needs_context); if (result) return result; } while (0)

/* ---- devices and contexts ---- */

Result cuInit(unsigned flags) { ENTER(0); initialised = 1; return SUCCESS; }
Result cuDriverGetVersion(int *number) { *number = 13000; return SUCCESS; }
Result cuDeviceGetCount(int *count) { ENTER(0); *count = DEVICES; return SUCCESS; }
Result cuDeviceGet(int *device, int number) {
  ENTER(0);
  *device = number;
  return 0 <= number && number < DEVICES ? SUCCESS : INVALID_DEVICE;
}
Result cuDevicePrimaryCtxRetain(uintptr_t *made, int device) { ENTER(0); *made = 0xC0 + device; return SUCCESS; }
Result cuDevicePrimaryCtxRelease_v2(int device) { ENTER(0); return SUCCESS; }
Result cuCtxGetCurrent(uintptr_t *current) { ENTER(0); *current = context; return SUCCESS; }
Result cuCtxSetCurrent(uintptr_t chosen) { ENTER(0); context = chosen; return SUCCESS; }
Result cuCtxGetDevice(int *device) { ENTER(1); *device = (int)(context - 0xC0); return SUCCESS; }
Result cuCtxSynchronize(void) { ENTER(1); return SUCCESS; }

/* ---- kernels: what a library has is its image ---- */

Result cuLibraryLoadData(
    void **library, const void *image, void *a, void *b, unsigned n, void *c, void *d, unsigned m) {
  ENTER(0);
  if (memcmp(image, ELFMAG, SELFMAG)) return INVALID_IMAGE;
  const Elf64_Ehdr *header = image;
  size_t size = header->e_shoff + (size_t)header->e_shnum * header->e_shentsize;
  const Elf64_Shdr *sections = (const void *)((const char *)image + header->e_shoff);
  for (int i = 0; i < header->e_shnum; i++)
    if (sections[i].sh_type != SHT_NOBITS && sections[i].sh_offset + sections[i].sh_size > size)
      size = sections[i].sh_offset + sections[i].sh_size;
  *library = memcpy(malloc(size), image, size);
  return SUCCESS;
}
Result cuLibraryUnload(void *library) { ENTER(0); free(library); return SUCCESS; }

/* Parameters are in .nv.info.NAME: entries of a format, a kind and 16 bits; in those of format 4 these bits are the
   length of what follows. Kind 0x17 is a parameter: its number is in the second word, its size in the third, from bit
   18 on. */
Result cuLibraryGetKernel(void **found, void *library, const char *name) {
  ENTER(0);
  const char *image = library;
  const Elf64_Ehdr *header = library;
  const Elf64_Shdr *sections = (const void *)(image + header->e_shoff);
  const char *names = image + sections[header->e_shstrndx].sh_offset;
  char wanted[80];
  snprintf(wanted, sizeof wanted, ".nv.info.%s", name);
  for (int i = 0; i < header->e_shnum; i++) {
    if (strcmp(names + sections[i].sh_name, wanted)) continue;
    Kernel *kernel = calloc(1, sizeof *kernel);
    snprintf(kernel->name, sizeof kernel->name, "%s", name);
    const char *entry = image + sections[i].sh_offset, *end = entry + sections[i].sh_size;
    while (entry < end) {
      int format = entry[0], kind = entry[1];
      uint16_t length;
      memcpy(&length, entry + 2, 2);
      if (format == 4 && kind == 0x17) {
        uint32_t words[3];
        memcpy(words, entry + 4, 12);
        int number = words[1] & 0xFFFF;
        kernel->sizes[number] = words[2] >> 18;
        if (kernel->count <= number) kernel->count = number + 1;
      }
      entry += format == 4 ? 4 + length : 4;
    }
    *found = kernel;
    return SUCCESS;
  }
  return NOT_FOUND;
}

Result cuLaunchKernelEx(const Configuration *configuration, void *function, void **parameters, void **extra) {
  ENTER(1);
  const unsigned *block = configuration->block, *grid = configuration->grid;
  if (!grid[0] || !block[0] || grid[0] > INT32_MAX || block[0] > 1024) return INVALID_VALUE;
  const Kernel *kernel = function;
  pthread_mutex_lock(&lock);
  int into_graph = captured && configuration->stream == capturing;
  Launch *launch = into_graph ? &captured->nodes[captured->count++ % 64] : &launches[launch_count++ % MANY];
  memcpy(launch->name, kernel->name, sizeof launch->name);
  memcpy(launch->grid, grid, sizeof launch->grid);
  memcpy(launch->block, block, sizeof launch->block);
  launch->stream = (uintptr_t)configuration->stream;
  launch->context = context;
  launch->count = kernel->count;
  memcpy(launch->sizes, kernel->sizes, sizeof launch->sizes);
  unsigned char *place = launch->bytes;
  for (int i = 0; i < kernel->count; place += kernel->sizes[i++]) memcpy(place, parameters[i], kernel->sizes[i]);
  pthread_mutex_unlock(&lock);
  return SUCCESS;
}

/* ---- capturing what a stream is given: one stream at a time ---- */

Result cuStreamBeginCapture_v2(void *stream, int mode) {
  ENTER(1);
  if (captured) return ILLEGAL_STATE;
  capturing = stream;
  captured = calloc(1, sizeof *captured);
  return SUCCESS;
}
Result cuStreamIsCapturing(void *stream, int *status) {
  ENTER(1);
  *status = captured && stream == capturing;
  return SUCCESS;
}
Result cuStreamEndCapture(void *stream, void **graph) {
  ENTER(1);
  if (!captured || stream != capturing) return ILLEGAL_STATE;
  *graph = captured;
  captured = NULL;
  return SUCCESS;
}
Result cuGraphInstantiateWithFlags(void **made, void *graph, uint64_t flags) {
  ENTER(1);
  *made = graph;
  return SUCCESS;
}
Result cuGraphLaunch(void *graph, void *stream) {
  ENTER(1);
  const Graph *given = graph;
  for (int i = 0; i < given->count; i++) {
    Launch *launch = &launches[launch_count++ % MANY];
    *launch = given->nodes[i];
    launch->stream = (uintptr_t)stream;
  }
  return SUCCESS;
}

/* ---- errors, and where functions are ---- */

Result cuGetErrorName(Result code, const char **name) {
  switch (code) {
    case INVALID_VALUE: *name = "CUDA_ERROR_INVALID_VALUE"; return SUCCESS;
    case 2: *name = "CUDA_ERROR_OUT_OF_MEMORY"; return SUCCESS;
    case NOT_INITIALIZED: *name = "CUDA_ERROR_NOT_INITIALIZED"; return SUCCESS;
    case INVALID_IMAGE: *name = "CUDA_ERROR_INVALID_IMAGE"; return SUCCESS;
    case INVALID_CONTEXT: *name = "CUDA_ERROR_INVALID_CONTEXT"; return SUCCESS;
    case 209: *name = "CUDA_ERROR_NO_BINARY_FOR_GPU"; return SUCCESS;
    case 222: *name = "CUDA_ERROR_UNSUPPORTED_PTX_VERSION"; return SUCCESS;
    case NOT_FOUND: *name = "CUDA_ERROR_NOT_FOUND"; return SUCCESS;
    case 700: *name = "CUDA_ERROR_ILLEGAL_ADDRESS"; return SUCCESS;
    case 701: *name = "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"; return SUCCESS;
    case 803: *name = "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"; return SUCCESS;
    default: *name = NULL; return INVALID_VALUE;
  }
}
Result cuGetErrorString(Result code, const char **text) { *text = "what the driver says"; return SUCCESS; }

Result cuGetProcAddress_v2(const char *name, void **function, int wanted, uint64_t flags, int *status) {
  char versioned[128];
  void *self = dlopen("libcuda.so.1", RTLD_NOLOAD | RTLD_LAZY);
  *function = NULL;
  for (int number = 3; number > 1 && !*function; number--) {
    snprintf(versioned, sizeof versioned, "%s_v%d", name, number);
    *function = dlsym(self, versioned);
  }
  if (!*function) *function = dlsym(self, name);
  if (status) *status = *function ? 0 : 1;
  return *function ? SUCCESS : NOT_FOUND;
}
Result cuGetProcAddress(const char *name, void **function, int wanted, uint64_t flags) {
  return cuGetProcAddress_v2(name, function, wanted, flags, NULL);
}
