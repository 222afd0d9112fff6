/* echo_server PORT: the least that an echo on epoll can do, as the ceiling of what is measured.

   A peer that does not read its echo would hold up all others, which no server in earnest may do. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH 256

static int epoll_fd;

static int listen_on(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, SOMAXCONN)) {
        perror("echo_server");
        exit(1);
    }
    return fd;
}

static void watch(int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

    if (fd >= 0 && epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event))
        close(fd);
}

static void echo(int fd)
{
    char data[65536];
    ssize_t got = recv(fd, data, sizeof data, MSG_DONTWAIT);

    if (got <= 0 || send(fd, data, got, MSG_NOSIGNAL) != got)
        close(fd);
}

int main(int argc, char **argv)
{
    struct epoll_event ready[BATCH];

    if (argc != 2) {
        fputs("usage: echo_server PORT\n", stderr);
        return 2;
    }
    epoll_fd = epoll_create1(0);
    int listener = listen_on(atoi(argv[1]));
    watch(listener);
    for (;;) {
        int found = epoll_wait(epoll_fd, ready, BATCH, -1);
        for (int i = 0; i < found; i++)
            if (ready[i].data.fd == listener)
                watch(accept(listener, NULL, NULL));
            else
                echo(ready[i].data.fd);
    }
}
