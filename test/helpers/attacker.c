/* What native code would try that has taken over a workerd. Each line of its output: a name, then yes or no. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void tell(const char *name, int succeeded) { printf("%s %s\n", name, succeeded ? "yes" : "no"); }

static int is_readable(const char *path) {
  char byte;
  int file = open(path, O_RDONLY);
  if (file < 0) return 0;
  int got = read(file, &byte, 1) == 1;
  close(file);
  return got;
}

static int opens(const char *path, int flags) {
  int file = open(path, flags, 0600);
  if (file >= 0) close(file);
  return file >= 0;
}

static int connects(const char *folder, const char *name) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int room = sizeof address.sun_path;
  if (snprintf(address.sun_path, room, "%s/%s", folder, name) >= room) exit(2);
  int s = socket(AF_UNIX, SOCK_STREAM, 0);
  int result = connect(s, (void *)&address, sizeof address);
  close(s);
  return result == 0;
}

static int processes(void) {
  int count = 0;
  DIR *proc = opendir("/proc");
  for (struct dirent *one; proc && (one = readdir(proc));) count += atoi(one->d_name) > 0;
  return count;
}

/* Of paths, one a line: does any accept? Moves about, so it comes last. */
static int any_accepts(char *paths) {
  int accepted = 0;
  for (char *path = strtok(paths, "\n"); path; path = strtok(NULL, "\n")) {
    char *name = strrchr(path, '/');
    *name = 0;
    if (chdir(path) == 0 && connects(".", name + 1)) accepted = 1;
  }
  return accepted;
}

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "--version") == 0) return puts("attacker"), 0;
  const char *data = getenv("DATA"), *victim = getenv("VICTIM_FOLDER");
  int gateway = atoi(getenv("GATEWAY")), other = atoi(getenv("VICTIM"));
  char path[4096], memory[16];

  snprintf(path, sizeof path, "%s/master.key", data);
  tell("master-key", is_readable(path));
  snprintf(path, sizeof path, "%s/countersign.db", data);
  tell("database", is_readable(path));
  tell("admin-socket", connects(data, "admin.sock"));
  tell("victims-socket", connects(victim, "main"));
  tell("victims-binding", connects(victim, "b0"));
  snprintf(path, sizeof path, "%s/config.capnp", victim);
  tell("victims-configuration", is_readable(path));
  snprintf(path, sizeof path, "/proc/%d/environ", other);
  tell("victims-secrets", is_readable(path));
  tell("victim-killed", kill(other, 0) == 0);
  snprintf(path, sizeof path, "/proc/%d/mem", gateway);
  tell("gateways-memory", opens(path, O_RDONLY));
  struct iovec local = {memory, 1}, remote = {(void *)0x400000, 1};
  tell("gateway-read", process_vm_readv(gateway, &local, 1, &remote, 1, 0) >= 0 || errno == EFAULT);
  int seized = ptrace(PTRACE_SEIZE, gateway, 0, 0) == 0;
  tell("gateway-traced", seized);
  if (seized) ptrace(PTRACE_DETACH, gateway, 0, 0);
  tell("gateway-killed", kill(gateway, 0) == 0);
  tell("other-processes-seen", processes() > 1);
  tell("passwd", is_readable("/etc/passwd"));
  tell("written-in-tmp", opens("/tmp/countersign-attacker", O_CREAT | O_WRONLY));
  unlink("/tmp/countersign-attacker");
  tell("written-in-own-folder", opens("written", O_CREAT | O_WRONLY));
  unlink("written");
  tell("own-configuration-changed", opens("config.capnp", O_WRONLY));
  tell("link-in-socket-folder", symlink("/etc/passwd", "o/evil") == 0);
  unlink("o/evil");
  tell("user-namespace", syscall(SYS_unshare, CLONE_NEWUSER) == 0);
  tell("io-uring", syscall(SYS_io_uring_setup, 1, path) >= 0 || (errno != ENOSYS && errno != EPERM));
  tell("keyring", syscall(SYS_keyctl, 0, -3, 0, 0, 0) >= 0);
  tell("packet-socket", socket(17, SOCK_RAW, 0) >= 0);
  /* Controls: what a Worker's process needs. */
  tell("own-configuration", is_readable("config.capnp"));
  tell("own-binding", connects(".", "b0"));
  tell("socket-folder-written", opens("o/attacker", O_CREAT | O_WRONLY));
  unlink("o/attacker");
  tell("other-sockets", any_accepts(getenv("OTHER_SOCKETS")));
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) execl("/bin/sh", "sh", "-c", "exit 0", (char *)0), _exit(9);
  int status = 9 << 8;
  if (child > 0) waitpid(child, &status, 0);
  tell("shell-started", child > 0 && status == 0);
  return 0;
}
