// do VERB ARGS: changes files without a libc, so that layers stay small.
#include <asm/unistd.h>
#include <fcntl.h>
static long call(long n, long a, long b, long c) {
	long r;
	__asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return r;
}
static int is(const char *a, const char *b) {
	while (*a && *a == *b) a++, b++;
	return *a == *b;
}
static long length(const char *s) { long n = 0; while (s[n]) n++; return n; }
static long step(const char *verb, const char *a, const char *b) {
	if (is(verb, "rm")) return call(__NR_unlink, (long)a, 0, 0);
	if (is(verb, "rmdir")) return call(__NR_rmdir, (long)a, 0, 0);
	if (is(verb, "mkdir")) return call(__NR_mkdir, (long)a, 0755, 0);
	if (is(verb, "ln")) return call(__NR_link, (long)a, (long)b, 0);
	if (is(verb, "symlink")) return call(__NR_symlink, (long)a, (long)b, 0);
	if (is(verb, "write")) {
		long fd = call(__NR_open, (long)a, O_WRONLY | O_CREAT | O_TRUNC, 0644);
		return fd < 0 ? fd : call(__NR_write, fd, (long)b, length(b)) - length(b);
	}
	return 1;
}
// Each argument VERB A B is a step; what needs no B has a dash there.
void start(long *sp) {
	long n = *sp, failed = 0;
	const char **argv = (const char **)(sp + 1);
	for (long i = 1; i + 2 < n; i += 3)
		if (step(argv[i], argv[i + 1], argv[i + 2]) != 0) failed = i;
	call(__NR_exit, failed, 0, 0);
}
__asm__(".globl _start\n_start: mov %rsp,%rdi\n and $-16,%rsp\n call start\n");
