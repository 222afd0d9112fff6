/* The load: one thread, one process, epoll.

   load MODE PORT CONNECTIONS BYTES SECONDS [REQUEST]

   echo   each connection sends BYTES, waits until the same BYTES are back, sends again
   files  CONNECTIONS downloads at a time, each from connect to the server's close, again and again
   bulk   CONNECTIONS downloads at once, each once; SECONDS is the limit
   idle   opens CONNECTIONS, one echo of BYTES on each, prints the line, holds them until standard
          input ends; they must be open and silent then

   A download must be exactly BYTES long; with REQUEST that is sent first and BYTES is what follows
   the head of the HTTP answer. What is under way when the SECONDS are over is not counted, but must
   still come to a good end.

   Prints one line, "count=N seconds=S busy=B errors=E"; B is the share of the time in which the
   load itself was running. The exit status is 1 when anything went wrong, and stderr says what. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LONGEST_MESSAGE 65536
#define LARGEST_READ (4 << 20)
#define BATCH 256
#define DRAIN 10.0  /* seconds for what is under way at the end */

static const char HEAD_END[] = "\r\n\r\n";

struct connection {
    int fd; /* -1: not open */
    uint64_t received;
    uint64_t serial;  /* of the message under way */
    int head_matched; /* bytes of HEAD_END seen */
    int in_body;
};

static const char *mode, *request;
static int port, connections, epoll_fd, under_way;
static uint64_t bytes, count, errors, next_serial;
static double limit;
static struct connection *all;
static char message[LONGEST_MESSAGE], incoming[LARGEST_READ];

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static double processor_time(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return used.ru_utime.tv_sec + used.ru_stime.tv_sec +
           (used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e-6;
}

static void failed(const char *what)
{
    if (errors++ < 3)
        fprintf(stderr, "load: %s: %s\n", what, errno ? strerror(errno) : "not as expected");
}

static void leave(struct connection *c)
{
    close(c->fd);
    c->fd = -1;
    under_way--;
}

/* Connect and wait for it (SO_SNDTIMEO bounds that); what is read later is never waited for. */
static int enter(struct connection *c)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct timeval patience = {.tv_sec = 10};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    int one = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *c = (struct connection){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    c->in_body = request == NULL;
    under_way++;
    errno = 0;
    setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (*mode == 'e')
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address) ||
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event)) {
        failed("connect");
        leave(c);
        return 0;
    }
    return 1;
}

static void send_all(struct connection *c, const char *data, size_t length)
{
    if (send(c->fd, data, length, MSG_NOSIGNAL) != (ssize_t)length) {
        failed("send");
        leave(c);
    }
}

static void send_message(struct connection *c)
{
    c->received = 0;
    c->serial = next_serial++;
    memcpy(message, &c->serial, bytes < sizeof c->serial ? bytes : sizeof c->serial);
    send_all(c, message, bytes);
}

/* Return whether a message is back, whole. */
static int read_echo(struct connection *c)
{
    errno = 0;
    ssize_t got = recv(c->fd, incoming, sizeof incoming, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN)
        return 0;
    memcpy(message, &c->serial, bytes < sizeof c->serial ? bytes : sizeof c->serial);
    if (got <= 0 || (uint64_t)got > bytes - c->received ||
        memcmp(incoming, message + c->received, got)) {
        failed("echo");
        leave(c);
        return 0;
    }
    c->received += got;
    return c->received == bytes;
}

static void start_download(struct connection *c)
{
    if (enter(c) && request)
        send_all(c, request, strlen(request));
}

/* Skip the head of an HTTP answer; return how much of the body came with it. */
static ssize_t body_part(struct connection *c, ssize_t got)
{
    for (ssize_t i = 0; i < got; i++) {
        if (incoming[i] == HEAD_END[c->head_matched])
            c->head_matched++;
        else
            c->head_matched = incoming[i] == HEAD_END[0];
        if (c->head_matched == sizeof HEAD_END - 1) {
            c->in_body = 1;
            return got - i - 1;
        }
    }
    return 0;
}

/* Return whether a download has ended as it should. The kernel drops the body for us. */
static int read_download(struct connection *c)
{
    errno = 0;
    ssize_t got = recv(c->fd, incoming, sizeof incoming, MSG_DONTWAIT | (c->in_body ? MSG_TRUNC : 0));
    if (got < 0 && errno == EAGAIN)
        return 0;
    if (got > 0) {
        c->received += c->in_body ? got : body_part(c, got);
        return 0;
    }
    int whole = got == 0 && c->received == bytes;
    if (!whole)
        failed("download");
    leave(c);
    return whole;
}

/* Handle what is ready; at `last` nothing new is begun. Return how many came to a good end. */
static int handle_ready(int last)
{
    struct epoll_event ready[BATCH];
    int ended = 0, found = epoll_wait(epoll_fd, ready, BATCH, 100);

    for (int i = 0; i < found; i++) {
        struct connection *c = ready[i].data.ptr;
        if (*mode == 'e') {
            if (!read_echo(c))
                continue;
            ended++;
            if (last)
                leave(c);
            else
                send_message(c);
        } else {
            ended += read_download(c);
            if (c->fd < 0 && !last)
                start_download(c);
        }
    }
    return ended;
}

static void start_all(void)
{
    for (int i = 0; i < connections; i++)
        if (*mode != 'e')
            start_download(&all[i]);
        else if (enter(&all[i]))
            send_message(&all[i]);
}

static void count_left(void)
{
    errno = ETIMEDOUT;
    while (under_way-- > 0)
        failed("left unfinished");
}

static double run(void)
{
    double start = now(), end, deadline = start + limit;
    int once = *mode == 'b';

    start_all();
    while (now() < deadline && under_way)
        count += handle_ready(once);
    end = now();
    if (!once)
        while (under_way && now() < deadline + DRAIN)
            handle_ready(1);
    count_left();
    return end - start;
}

/* Open one after the other, so that each is known to be served, and hold them all. */
static double run_idle(void)
{
    double start = now();

    for (int i = 0; i < connections && !errors; i++) {
        if (!enter(&all[i]))
            break;
        send_message(&all[i]);
        while (!errors && !read_echo(&all[i]) && now() < start + limit)
            epoll_wait(epoll_fd, &(struct epoll_event){0}, 1, 1000);
        count += all[i].received == bytes;
    }
    errno = ETIMEDOUT;
    if (count < (uint64_t)connections)
        failed("opening");
    return now() - start;
}

/* Wait until standard input ends, and look whether all connections are still there. */
static void hold(void)
{
    while (read(STDIN_FILENO, incoming, sizeof incoming) > 0)
        ;
    for (int i = 0; i < connections && !errors; i++)
        if (recv(all[i].fd, incoming, 1, MSG_DONTWAIT) >= 0 || errno != EAGAIN)
            failed("an idle connection");
}

static int is_mode(const char *name)
{
    return !strcmp(name, "echo") || !strcmp(name, "files") || !strcmp(name, "bulk") ||
           !strcmp(name, "idle");
}

int main(int argc, char **argv)
{
    if (argc < 6 || argc > 7 || !is_mode(argv[1])) {
        fputs("usage: load echo|files|bulk|idle PORT CONNECTIONS BYTES SECONDS [REQUEST]\n", stderr);
        return 2;
    }
    mode = argv[1];
    port = atoi(argv[2]);
    connections = atoi(argv[3]);
    bytes = strtoull(argv[4], NULL, 10);
    limit = atof(argv[5]);
    request = argc > 6 ? argv[6] : NULL;
    int downloads = *mode == 'f' || *mode == 'b';
    if (connections < 1 || bytes < 1 || (!downloads && bytes > LONGEST_MESSAGE)) {
        fputs("load: CONNECTIONS or BYTES out of range\n", stderr);
        return 2;
    }
    alarm((unsigned)limit + 60); /* whatever happens */
    memset(message, 'm', sizeof message);
    all = calloc(connections, sizeof *all);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);

    double seconds = *mode == 'i' ? run_idle() : run();
    printf("count=%llu seconds=%.6f busy=%.3f errors=%llu\n", (unsigned long long)count, seconds,
           processor_time() / seconds, (unsigned long long)errors);
    fflush(stdout);
    if (*mode == 'i' && !errors)
        hold();
    return errors ? 1 : 0;
}
