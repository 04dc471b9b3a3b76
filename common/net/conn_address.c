#include <arpa/inet.h>
#include <stdio.h>

#include "common/net/conn.h"
#include "common/net/loop_core.h"

/* Addresses as text. */

enum status conn_parse_address(const char *address, char *host, size_t host_size, uint16_t *port)
{
    const char *colon = strrchr(address, ':');
    if (colon == NULL || colon[1] == '\0') {
        return STATUS_BAD_ARGUMENT;
    }
    const char *start = address;
    size_t len = (size_t)(colon - address);
    if (len >= 2 && start[0] == '[' && start[len - 1] == ']') {
        start++;
        len -= 2;
    } else if (memchr(start, ':', len) != NULL) {
        return STATUS_BAD_ARGUMENT; /* A V6 address without brackets. */
    }
    uint32_t value = 0;
    for (const char *at = colon + 1; *at != '\0'; at++) {
        if (*at < '0' || *at > '9' || (value = value * 10 + (uint32_t)(*at - '0')) > UINT16_MAX) {
            return STATUS_BAD_ARGUMENT;
        }
    }
    if (len >= host_size) {
        return STATUS_BAD_ARGUMENT;
    }
    memcpy(host, start, len);
    host[len] = '\0';
    *port = (uint16_t)value;
    return STATUS_OK;
}

bool loop_core_numeric(const char *host, uint16_t port, struct sockaddr_storage *address)
{
    memset(address, 0, sizeof(*address));
    return uv_ip4_addr(host, port, (struct sockaddr_in *)address) == 0 ||
           uv_ip6_addr(host, port, (struct sockaddr_in6 *)address) == 0;
}

void loop_core_print_address(const struct sockaddr_storage *address, char *text)
{
    char host[INET6_ADDRSTRLEN] = "?";
    if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
        (void)uv_ip6_name(in6, host, sizeof(host));
        (void)snprintf(text, CONN_ADDRESS_SIZE, "[%s]:%u", host, (unsigned)ntohs(in6->sin6_port));
        return;
    }
    const struct sockaddr_in *in4 = (const struct sockaddr_in *)address;
    (void)uv_ip4_name(in4, host, sizeof(host));
    (void)snprintf(text, CONN_ADDRESS_SIZE, "%s:%u", host, (unsigned)ntohs(in4->sin_port));
}
