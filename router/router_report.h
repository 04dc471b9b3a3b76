#ifndef ROUTER_ROUTER_REPORT_H
#define ROUTER_ROUTER_REPORT_H

#include "common/cluster/cluster_view.h"
#include "router/router_loop.h"

/* What the router says about itself: metrics, INFO, SHERD, health. */

/* Looks the labels up. Before the loop runs. */
void router_report_open(struct router_loop *part);
/* Copies the core's counters to the metrics and sets part->ready. On its loop. */
void router_report_counters(struct router_loop *part);
/* The lines of INFO's section. On its loop. */
void router_report_info(struct router_loop *part, struct buf *out);
/* The cluster as this loop sees it; valid until the loop turns. */
struct cluster_view router_report_view(struct router_loop *part);
/* The command SHERD; ends the request, at once or later. On its loop. */
void router_report_sherd(struct router_loop *part, struct request *request);
/* /metrics, /healthz, /readyz. On loop 0. */
void router_report_http(void *arg, struct http_call *call, const struct http_request *request);
/* Every loop can serve every key. Any thread. */
bool router_report_ready(const struct router *router);

#endif
