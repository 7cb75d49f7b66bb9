// Stand-ins for libraries that libmesos was linked against and that current
// systems do not have (OpenSSL 1.0, Python 2.7, libcurl 3) or that a test
// cluster never calls (Subversion, APR). The build writes one line per symbol
// that the library wants below an include of this file.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

static void die(const char *symbol) {
  fprintf(stderr, "mesosd: stub of %s called\n", symbol);
  abort();
}

#define DATA(name) void *name[64];
#define ZERO(name) \
  int name(void) { return 0; }
#define ABORT(name) \
  long name(void) { \
    die(#name); \
    return 0; \
  }

// The agent asks for the size of a cached http URI through curl, so calls go on
// to today's library. It is opened by path: its soname is also a link to this
// file, beside it.
static void *curl(void) {
  static const char *const paths[] = {"/usr/lib/x86_64-linux-gnu/libcurl.so.4", "/usr/lib64/libcurl.so.4",
                                      "/usr/lib/libcurl.so.4", "libcurl-gnutls.so.4", NULL};
  static void *lib;
  for (int i = 0; !lib && paths[i]; i++) lib = dlopen(paths[i], RTLD_NOW | RTLD_LOCAL);
  if (!lib) die("libcurl, which is not installed");
  return lib;
}

// A jump, not a call: curl has variadic functions, whose arguments C cannot
// pass on. It saves the argument registers over the look-up.
#define CURL(name) \
  __attribute__((used)) static void *find_##name(void) { return dlsym(curl(), #name); } \
  __asm__(".text\n.globl " #name "\n.type " #name ",@function\n" #name ":\n" \
          "push %rdi\npush %rsi\npush %rdx\npush %rcx\npush %r8\ncall find_" #name "\nmov %rax,%r11\n" \
          "pop %r8\npop %rcx\npop %rdx\npop %rsi\npop %rdi\nxor %eax,%eax\njmp *%r11\n.size " #name ",.-" #name "\n");
