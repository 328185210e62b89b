/* Holds every packet that a machine sends for a while: reads them from a tun device and sends them on by a raw socket
 * whose mark leads around the device. Order is kept. Ends at SIGTERM and says how many there were.
 * delay DEVICE MARK MILLISECONDS MORE_AT_RANDOM */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HELD_MAX = 16384, PACKET_MAX = 2048 };
struct held { uint64_t due; int length; unsigned char packet[PACKET_MAX]; };
static struct held held[HELD_MAX];
static volatile sig_atomic_t done;
static void stop(int signal) { (void)signal; done = 1; }

static uint64_t now_us(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * 1000000 + (uint64_t)at.tv_nsec / 1000;
}

int main(int count, char **words) {
    if (count != 5) return 2;
    int mark = atoi(words[2]);
    uint64_t delay = (uint64_t)atoi(words[3]) * 1000, more = (uint64_t)atoi(words[4]) * 1000;
    struct ifreq request;
    memset(&request, 0, sizeof request);
    strncpy(request.ifr_name, words[1], IFNAMSIZ - 1);
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    int tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
    if (tun < 0 || ioctl(tun, TUNSETIFF, &request) < 0) { perror("tun"); return 1; }
    int out = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
    if (out < 0 || setsockopt(out, SOL_SOCKET, SO_MARK, &mark, sizeof mark) < 0) { perror("raw socket"); return 1; }
    signal(SIGTERM, stop);
    puts("up");
    fflush(stdout);
    uint64_t first = 0, next = 0, sent = 0, last_due = 0;
    while (!done) {
        uint64_t now = now_us();
        while (first < next && held[first % HELD_MAX].due <= now) {
            struct held *one = &held[first++ % HELD_MAX];
            struct sockaddr_in to = {.sin_family = AF_INET};
            memcpy(&to.sin_addr, one->packet + 16, 4);
            if (sendto(out, one->packet, (size_t)one->length, 0, (struct sockaddr *)&to, sizeof to) >= 0) sent++;
        }
        int wait = first < next ? (int)((held[first % HELD_MAX].due - now) / 1000) + 1 : 50;
        struct pollfd ready = {.fd = tun, .events = POLLIN};
        if (poll(&ready, 1, wait) <= 0) continue;
        while (next - first < HELD_MAX) {
            struct held *one = &held[next % HELD_MAX];
            ssize_t length = read(tun, one->packet, PACKET_MAX);
            if (length <= 0) break;
            if (length < 20 || one->packet[0] >> 4 != 4) continue;
            one->length = (int)length;
            one->due = now_us() + delay + (more ? (uint64_t)rand() % more : 0);
            if (one->due < last_due) one->due = last_due;
            last_due = one->due;
            next++;
        }
    }
    printf("%llu\n", (unsigned long long)sent);
    return 0;
}
