/* The controller as a program: oatlink-controller MOTOR_TTY [KEY_FILE]. It makes a pseudo-terminal
 * for its host and prints that port's path. The key's file holds 64 hexadecimal digits. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "controller.h"

#define POLL_MS 1
#define CHUNK 256
#define PATH_LENGTH 128

static uint64_t now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static int open_tty(const char *path)
{
    int tty = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK);
    struct termios settings;
    if (tty < 0 || tcgetattr(tty, &settings) != 0) {
        fprintf(stderr, "port %s: %s\n", path, strerror(errno));
        exit(1);
    }
    cfmakeraw(&settings);
    (void)tcsetattr(tty, TCSANOW, &settings);
    return tty;
}

/* A new pseudo-terminal. Its other end stays open here, too: else it would hang up with each host. */
static int make_host_port(void)
{
    char path[PATH_LENGTH];
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0 ||
        ptsname_r(master, path, sizeof path) != 0) {
        fprintf(stderr, "pseudo-terminal: %s\n", strerror(errno));
        exit(1);
    }
    (void)open_tty(path);
    printf("%s\n", path);
    (void)fflush(stdout);
    return master;
}

/* A file without a whole key ends the program: a link without its key would trust everybody. */
static void read_key(const char *path, uint8_t *key)
{
    FILE *file = fopen(path, "r");
    size_t count = 0;
    for (unsigned byte; file != NULL && count < OAT_KEY_LENGTH && fscanf(file, "%2x", &byte) == 1;)
        key[count++] = (uint8_t)byte;
    if (file != NULL)
        (void)fclose(file);
    if (count != OAT_KEY_LENGTH) {
        fprintf(stderr, "key file %s: no key in it\n", path);
        exit(1);
    }
}

static void send_all(int tty, struct oat_fifo *fifo)
{
    uint8_t data[OAT_FIFO_SIZE];
    size_t length = 0;
    while (length < sizeof data && oat_fifo_pop(fifo, &data[length]))
        length++;
    if (length > 0 && write(tty, data, length) < 0 && errno != EAGAIN)
        exit(1); /* the line is gone, and so is what this process is for */
}

static ssize_t receive(int tty, uint8_t *data)
{
    ssize_t count = read(tty, data, CHUNK);
    if (count == 0 || (count < 0 && errno != EAGAIN))
        exit(1);
    return count;
}

int main(int argc, char **argv)
{
    static struct oat_controller controller;
    uint8_t data[CHUNK], key[OAT_KEY_LENGTH];
    if (argc != 2 && argc != 3) {
        fprintf(stderr, "usage: %s MOTOR_TTY [KEY_FILE]\n", argv[0]);
        return 2;
    }
    if (argc == 3)
        read_key(argv[2], key);
    uint64_t origin_us = now_us();
    int motors = open_tty(argv[1]), host = make_host_port();
    oat_controller_start(&controller, (uint32_t)origin_us ^ (uint32_t)getpid(),
                         argc == 3 ? key : NULL, 0);
    for (;;) {
        struct pollfd lines[] = {{.fd = host, .events = POLLIN}, {.fd = motors, .events = POLLIN}};
        (void)poll(lines, 2, POLL_MS);
        uint64_t at_us = now_us() - origin_us;
        if (lines[0].revents)
            for (ssize_t i = 0, count = receive(host, data); i < count; i++)
                oat_controller_host_byte(&controller, data[i], at_us);
        if (lines[1].revents)
            for (ssize_t i = 0, count = receive(motors, data); i < count; i++)
                oat_controller_motor_byte(&controller, data[i]);
        oat_controller_poll(&controller, at_us);
        send_all(motors, &controller.to_motors);
        send_all(host, &controller.to_host);
    }
}
