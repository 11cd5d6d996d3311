// For tests: fails allocations of the op library, and lies about the machine's memory. It is loaded
// before all else, so that its functions are found in place of the C and C++ libraries' own.
#include <dlfcn.h>
#include <link.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

namespace {

std::atomic<long> g_until{-1};  // allocations that succeed before one fails; below 0, none does
std::atomic<long> g_pages{0};   // the machine's; 0: as many as there are

// Where the op library lies.
std::atomic<uintptr_t> g_begin{0}, g_end{0};

int find(dl_phdr_info* info, size_t, void*) {
  const char* const slash = std::strrchr(info->dlpi_name, '/');
  if (slash == nullptr || std::strcmp(slash + 1, "_tf_dwbp.so") != 0) return 0;
  g_begin = info->dlpi_addr;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& segment = info->dlpi_phdr[i];
    if (segment.p_type == PT_LOAD) {
      g_end = info->dlpi_addr + segment.p_vaddr + segment.p_memsz;
    }
  }
  return 1;
}

bool is_ours(const void* caller) {
  const auto address = reinterpret_cast<uintptr_t>(caller);
  return g_begin <= address && address < g_end;
}

}  // namespace

extern "C" void fail_after(long count) {
  dl_iterate_phdr(find, nullptr);
  g_until = count;
}
extern "C" long left() { return g_until; }
extern "C" void set_pages(long pages) { g_pages = pages; }

extern "C" long sysconf(int name) {
  static auto* const real = reinterpret_cast<long (*)(int)>(dlsym(RTLD_NEXT, "sysconf"));
  if (name == _SC_PHYS_PAGES && g_pages > 0) return g_pages;
  return real(name);
}

void* operator new(size_t size) {
  if (g_until >= 0 && is_ours(__builtin_return_address(0)) && g_until-- == 0) {
    throw std::bad_alloc();
  }
  if (void* const data = std::malloc(size == 0 ? 1 : size)) return data;
  throw std::bad_alloc();
}

void operator delete(void* data) noexcept { std::free(data); }
void operator delete(void* data, size_t) noexcept { std::free(data); }
