"""Writes the three Grafana dashboards from the lists below.

`python deploy/grafana/build.py` writes `dashboards/*.json`; `--check` writes nothing and fails when a file is not what this
program would write. Needs grafana-foundation-sdk from PyPI, which `ci/install.sh` installs.

A panel is one call: title, runbook, meaning, unit, and pairs of an expression and its legend. Rates use $__rate_interval, so
that a zoomed-out panel still sees every increase; nothing is averaged over the life of a process.
"""

import json
import sys
from pathlib import Path

from grafana_foundation_sdk.builders import dashboard, heatmap, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders.common import VizLegendOptions, VizTooltipOptions
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    DataTransformerConfig,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode, HeatmapColorScale
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

FOLDER = Path(__file__).parent / "dashboards"
# Where docs/operate.md is published; an operator sets the variable `runbooks` to an address of their own.
RUNBOOKS = "docs/operate.md"
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
MODEL = 'model=~"$model"'
FRONTEND = f'job=~"$job", {MODEL}'
WORKER = 'job=~"$job", dynamo_namespace=~"$dynamo_namespace", dynamo_component!="router"'


def query(expression, legend, *, instant=False, exemplar=False, form=None):
    """Returns one Prometheus query of a panel."""
    built = prometheus.Dataquery().expr(expression).legend_format(legend)
    built = built.instant() if instant else built.range()
    if exemplar:
        built = built.exemplar(True)
    return built.format(form) if form else built


def described(panel, title, runbook, meaning, unit):
    """Returns `panel` with what each panel has."""
    link = (
        dashboard.DashboardLink(f"Runbook: {runbook}")
        .type(DashboardLinkType.LINK)
        .url("${runbooks}#" + runbook)
        .target_blank(True)
    )
    panel = panel.title(title).description(meaning).datasource(SOURCE).links([link])
    return panel.unit(unit) if unit else panel


def graph(title, runbook, meaning, unit, *queries, span=8, exemplar=False, least=None, most=None):
    """Returns a graph over time."""
    panel = described(timeseries.Panel(), title, runbook, meaning, unit).height(8).span(span)
    for number, (expression, legend) in enumerate(queries):
        panel = panel.with_target(query(expression, legend, exemplar=exemplar).ref_id(chr(65 + number)))
    if least is not None:
        panel = panel.min(least)
    if most is not None:
        panel = panel.max(most)
    return (
        panel.fill_opacity(8)
        .legend(VizLegendOptions().display_mode(common.LegendDisplayMode.LIST).placement(common.LegendPlacement.BOTTOM).show_legend(True))
        .tooltip(VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING))
    )


def tile(title, runbook, meaning, unit, expression, span=4):
    """Returns one number, as it is now."""
    panel = described(stat.Panel(), title, runbook, meaning, unit).height(4).span(span)
    return panel.with_target(query(expression, "", instant=True).ref_id("A")).no_value("no data")


def heat(title, runbook, meaning, unit, expression, span=24):
    """Returns a heat map of a classic histogram: one column a step, one row a bucket."""
    panel = described(heatmap.Panel(), title, runbook, meaning, None).height(8).span(span)
    target = query(expression, "{{le}}", form=PromQueryFormat.HEATMAP).ref_id("A")
    return (
        panel.with_target(target)
        .calculate(False)
        .y_axis(heatmap.YAxisConfig().unit(unit))
        .color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges").scale(HeatmapColorScale.EXPONENTIAL).exponent(0.5).steps(64))
    )


def rows(title, runbook, meaning, queries, key, span=24):
    """Returns a table with one row for each value of `key` and one column for each query."""
    panel = described(table.Panel(), title, runbook, meaning, None).height(10).span(span)
    for number, (expression, _) in enumerate(queries):
        panel = panel.with_target(query(expression, "", instant=True, form=PromQueryFormat.TABLE).ref_id(chr(65 + number)))
    names = {f"Value #{chr(65 + number)}": name for number, (_, name) in enumerate(queries)}
    panel = panel.with_transformation(DataTransformerConfig(id_val="merge", options={}))
    return panel.with_transformation(
        DataTransformerConfig(id_val="organize", options={"excludeByName": {"Time": True}, "renameByName": names})
    )


def variable(name, label, expression):
    """Returns a variable with every value that a label has, all of them chosen at first."""
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query(expression)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
    )


def board(uid, title, meaning, variables, groups):
    """Returns a dashboard as an object that JSON can hold."""
    built = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(meaning)
        .tags(["dynamo"])
        .refresh("10s")
        .time("now-30m", "now")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(dashboard.ConstantVariable("runbooks").label("Address of the runbooks").value(RUNBOOKS))
    )
    for each in variables:
        built = built.with_variable(each)
    others = dashboard.DashboardLink("Dynamo").type(DashboardLinkType.DASHBOARDS).tags(["dynamo"]).keep_time(True).include_vars(True)
    built = built.link(others)
    for name, panels in groups:
        built = built.with_row(dashboard.Row(name))
        for panel in panels:
            built = built.with_panel(panel)
    made = json.loads(json.dumps(built.build(), cls=JSONEncoder))
    for number, panel in enumerate(made["panels"], start=1):
        panel["id"] = number
    made.pop("style", None)
    for each in made["templating"]["list"]:
        # Members that the library adds and Grafana's own types lack.
        for key in ("auto", "auto_count", "auto_min", "id"):
            each.pop(key, None)
    return without_nulls(made)


def without_nulls(made):
    """Returns `made` without members that are null, which Grafana's types refuse."""
    if isinstance(made, dict):
        return {key: without_nulls(value) for key, value in made.items() if value is not None}
    return [without_nulls(each) for each in made] if isinstance(made, list) else made


def quantiles(family, labels):
    """Returns the queries of p50, p95 and p99 of a histogram of the frontend: of its native buckets where there are any."""
    return [(quantile(q, family, labels), name) for q, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))]


def quantile(q, family, labels):
    """Returns the query of one quantile, from native buckets where Prometheus has them and else from the classic ones."""
    native = f"sum(rate({family}{{{labels}}}[$__rate_interval]))"
    classic = f"sum by (le) (rate({family}_bucket{{{labels}}}[$__rate_interval]))"
    return f"histogram_quantile({q}, {native}) or histogram_quantile({q}, {classic})"


def ratio(over, under, labels, by=""):
    """Returns the share of two counters' rates; no value while nothing happens."""
    over, under = (f"sum{by} (rate({each}{{{labels}}}[$__rate_interval]))" for each in (over, under))
    return f"{over} / ({under} > 0)"


def rate(counter, labels, by=""):
    """Returns the sum of a counter's rates."""
    return f"sum{by} (rate({counter}{{{labels}}}[$__rate_interval]))"


TTFT = "dynamo_frontend_time_to_first_token_seconds"
ITL = "dynamo_frontend_inter_token_latency_seconds"
DURATION = "dynamo_frontend_request_duration_seconds"


def own_errors():
    """Returns the share of requests that failed, but for those whose client left."""
    total = rate("dynamo_frontend_requests_total", FRONTEND)
    failed = rate("dynamo_frontend_requests_total", FRONTEND + ', status="error"')
    left = rate("dynamo_frontend_cancelled_requests_total", FRONTEND)
    return f"(({failed} or vector(0)) - ({left} or vector(0))) / ({total} > 0)"


def overview():
    """Returns the dashboard of one model, as its users see it."""
    tiles = [
        tile("Requests/s", "traffic", "Finished requests each second.", "reqps", rate("dynamo_frontend_requests_total", FRONTEND)),
        tile("Output tokens/s", "traffic", "Tokens sent to clients each second.", "short", rate("dynamo_frontend_output_tokens_total", FRONTEND)),
        tile("TTFT p95", "dynamotimetofirsttokenslow", "95 of 100 requests have their first token within this time.", "s", quantiles(TTFT, FRONTEND)[1][0]),
        tile("Failed share", "dynamoerrorbudgetburn", "Requests that failed for another reason than a client that left.", "percentunit", own_errors()),
        tile("In flight", "dynamostuckinflight", "Requests that are being answered.", "short", f"sum(dynamo_frontend_inflight_requests{{{FRONTEND}}})"),
        tile("Models without a worker", "dynamonoworkers", "Models that were served and are not any more.", "short", f"count(min by (model) (dynamo_frontend_model_ready{{{FRONTEND}}}) == 0) or vector(0)"),
    ]
    traffic = [
        graph("Requests/s by status", "traffic", "Finished requests; a client that left counts as an error here, as in Dynamo 0.9.0.", "reqps", (rate("dynamo_frontend_requests_total", FRONTEND, " by (model, status)"), "{{model}} {{status}}"), least=0),
        graph("Requests/s by endpoint", "traffic", "Finished requests by the API that was called.", "reqps", (rate("dynamo_frontend_requests_total", FRONTEND, " by (endpoint, request_type)"), "{{endpoint}} {{request_type}}"), least=0),
        graph("Refused requests/s by reason", "dynamosaturated", "Refused before an engine was asked. `overload` and `unavailable` are ours, the others are the clients'.", "reqps", (rate("dynamo_frontend_rejected_requests_total", 'job=~"$job"', " by (reason)"), "{{reason}}"), least=0),
        graph("Output and input tokens/s", "traffic", "Input tokens count with the first token of their answer.", "short", (rate("dynamo_frontend_output_tokens_total", FRONTEND, " by (model)"), "{{model}} output"), (rate("dynamo_frontend_input_sequence_tokens_sum", FRONTEND, " by (model)"), "{{model}} input"), least=0),
        graph("Cached share of the input", "traffic", "Input tokens whose KV blocks were there already.", "percentunit", (ratio("dynamo_frontend_cached_tokens_sum", "dynamo_frontend_input_sequence_tokens_sum", FRONTEND, " by (model)"), "{{model}}"), least=0, most=1),
        graph("Clients that left, per second", "traffic", "Connections that were closed before the answer was complete.", "reqps", (rate("dynamo_frontend_cancelled_requests_total", FRONTEND, " by (model)"), "{{model}}"), least=0),
    ]
    latency = [
        graph("Time to first token", "dynamotimetofirsttokenslow", "Quantiles between two bounds of a bucket are guessed; at the tail they are up to a bucket's width off: 50 % with classic buckets, 9 % with native ones.", "s", *quantiles(TTFT, FRONTEND), exemplar=True, least=0),
        graph("Inter-token latency", "dynamointertokenlatencyslow", "Time from one token to the next.", "s", *quantiles(ITL, FRONTEND), least=0),
        graph("Duration of requests", "dynamotimetofirsttokenslow", "From the start of the handler to the end of the response.", "s", *quantiles(DURATION, FRONTEND), exemplar=True, least=0),
        graph("Share of first tokens within 0.47 s", "dynamotimetofirsttokenslow", "Exact, because 0.47 is a bound of a bucket.", "percentunit", (f'sum by (model) (rate({TTFT}_bucket{{{FRONTEND}, le="0.47"}}[$__rate_interval])) / (sum by (model) (rate({TTFT}_count{{{FRONTEND}}}[$__rate_interval])) > 0)', "{{model}}"), least=0, most=1),
        graph("Tokens/s of one user", "dynamointertokenlatencyslow", "One over the mean inter-token latency.", "short", (ratio(f"{ITL}_count", f"{ITL}_sum", FRONTEND, " by (model)"), "{{model}}"), least=0),
        graph("Tokenizer p95", "dynamotimetofirsttokenslow", "Time to turn a prompt into tokens.", "s", ('histogram_quantile(0.95, sum by (le) (rate(dynamo_preprocessor_tokenize_seconds_bucket{job=~"$job"}[$__rate_interval])))', "p95"), least=0),
        heat("Time to first token, all requests", "dynamotimetofirsttokenslow", "How many requests had their first token in which time.", "s", f"sum by (le) (increase({TTFT}_bucket{{{FRONTEND}}}[$__rate_interval]))"),
    ]
    work = [
        graph("In flight and queued", "dynamoqueuegrowing", "Queued until the first token; queued never exceeds in flight.", "short", (f"sum by (model) (dynamo_frontend_inflight_requests{{{FRONTEND}}})", "{{model}} in flight"), (f"sum by (model) (dynamo_frontend_queued_requests{{{FRONTEND}}})", "{{model}} queued"), least=0),
        graph("Seconds to drain the queue", "dynamoqueuegrowing", "Queued requests over finished requests each second.", "s", (f"sum by (model) (dynamo_frontend_queued_requests{{{FRONTEND}}}) / (sum by (model) (rate(dynamo_frontend_requests_total{{{FRONTEND}}}[$__rate_interval])) > 0)", "{{model}}"), least=0),
        graph("Migrations/s", "dynamomigrationstorm", "Requests that moved to another worker.", "reqps", (rate("dynamo_frontend_model_migration_total", FRONTEND, " by (model, migration_type)"), "{{model}} {{migration_type}}"), least=0),
    ]
    chosen = [variable("job", "Job", "label_values(dynamo_frontend_inflight_requests, job)"), variable("model", "Model", 'label_values(dynamo_frontend_inflight_requests{job=~"$job"}, model)')]
    return board("dynamo-overview", "Dynamo: models", "Traffic, latency and errors of each model, as its users see them.", chosen, [("Now", tiles), ("Traffic", traffic), ("Latency", latency), ("Work in progress", work)])


def fleet():
    """Returns the dashboard of the workers."""
    stats = "dynamo_component_kvstats_"
    tiles = [
        tile("Workers", "dynamoworkersdropped", "Workers whose page was scraped.", "short", f"count({stats}total_blocks{{{WORKER}}})"),
        tile("Targets down", "dynamotargetdown", "Targets that did not answer the last scrape.", "short", 'count(up{job=~"dynamo-.*"} == 0) or vector(0)'),
        tile("KV blocks in use", "dynamokvcachefull", "Share of all workers' blocks.", "percentunit", f"sum({stats}active_blocks{{{WORKER}}}) / sum({stats}total_blocks{{{WORKER}}})"),
        tile("Fullest worker", "dynamokvcachefull", "Share of its KV blocks in use.", "percentunit", f"max({stats}gpu_cache_usage_percent{{{WORKER}}})"),
        tile("Worker errors/s", "workers", "Requests that failed in a worker.", "reqps", rate("dynamo_component_errors_total", WORKER)),
        tile("Youngest worker", "workers", "Time since the last start of a worker.", "s", 'min(dynamo_component_uptime_seconds{job=~"$job"})'),
    ]
    work = [
        graph("Workers by component", "dynamoworkersdropped", "Workers whose page was scraped.", "short", (f"count by (dynamo_component) ({stats}total_blocks{{{WORKER}}})", "{{dynamo_component}}"), least=0),
        graph("Requests/s by worker", "workers", "Requests that a worker took.", "reqps", (rate("dynamo_component_requests_total", WORKER, " by (instance, dynamo_endpoint)"), "{{instance}} {{dynamo_endpoint}}"), least=0),
        graph("Errors/s by type", "workers", "Requests that failed in a worker.", "reqps", (rate("dynamo_component_errors_total", WORKER, " by (error_type)"), "{{error_type}}"), least=0),
        graph("Duration in the worker, p95", "workers", "From the arrival of a request to the end of its answer.", "s", (f"histogram_quantile(0.95, sum by (le, dynamo_component) (rate(dynamo_component_request_duration_seconds_bucket{{{WORKER}}}[$__rate_interval])))", "{{dynamo_component}}"), least=0),
        graph("KV cache by worker", "dynamokvcachefull", "Share of its blocks in use.", "percentunit", (f"{stats}gpu_cache_usage_percent{{{WORKER}}}", "{{instance}}"), least=0, most=1),
        graph("Imbalance", "workers", "Blocks in use of the fullest worker over the mean of all; 1 is even.", "short", (f"max by (dynamo_component) ({stats}active_blocks{{{WORKER}}}) / (avg by (dynamo_component) ({stats}active_blocks{{{WORKER}}}) > 0)", "{{dynamo_component}}"), least=1),
        graph("Bytes/s", "workers", "Requests to and responses of workers.", "Bps", (rate("dynamo_component_request_bytes_total", WORKER), "requests"), (rate("dynamo_component_response_bytes_total", WORKER), "responses"), least=0),
        graph("Migrations/s", "dynamomigrationstorm", "Requests that moved to another worker.", "reqps", ('sum by (migration_type) (rate(dynamo_frontend_model_migration_total[$__rate_interval]))', "{{migration_type}}"), least=0),
        graph("Starts", "workers", "Uptime; a fall is a restart.", "s", ('dynamo_component_uptime_seconds{job=~"$job"}', "{{instance}}"), least=0),
    ]
    columns = [
        (f"sum by (instance) ({stats}active_blocks{{{WORKER}}})", "Blocks in use"),
        (f"sum by (instance) ({stats}total_blocks{{{WORKER}}})", "Blocks"),
        (f"max by (instance) ({stats}gpu_cache_usage_percent{{{WORKER}}})", "KV share"),
        (f"max by (instance) ({stats}gpu_prefix_cache_hit_rate{{{WORKER}}})", "Prefix hit rate"),
        (f"sum by (instance) (dynamo_component_inflight_requests{{{WORKER}}})", "In flight"),
        ('max by (instance) (dynamo_component_uptime_seconds{job=~"$job"})', "Uptime (s)"),
    ]
    chosen = [variable("job", "Job", "label_values(dynamo_component_uptime_seconds, job)"), variable("dynamo_namespace", "Namespace", 'label_values(dynamo_component_kvstats_total_blocks{job=~"$job"}, dynamo_namespace)')]
    listed = [rows("Workers", "workers", "One row for each worker.", columns, "instance")]
    return board("dynamo-fleet", "Dynamo: fleet", "Workers: work, KV cache, balance, errors and starts.", chosen, [("Now", tiles), ("Work", work), ("Each worker", listed)])


def engines():
    """Returns the dashboard of the engines' own metrics, which pass through the workers' pages."""
    labels = 'job=~"$job"'

    def p95(family):
        return f"histogram_quantile(0.95, sum by (le, instance) (rate({family}_bucket{{{labels}}}[$__rate_interval])))"

    pages = [
        graph("Age of the engine's page", "dynamoenginepagestale", "How old the metrics of an engine are that its worker prints.", "s", (f"dynamo_engine_metrics_age_seconds{{{labels}}}", "{{instance}} {{source}}"), least=0),
        graph("Engine answers", "dynamoenginepagestale", "1 while the engine's page is read.", "short", (f"dynamo_engine_metrics_up{{{labels}}}", "{{instance}} {{source}}"), least=0, most=1),
        graph("Time to read the page", "dynamoenginepagestale", "Duration of the last read.", "s", (f"dynamo_engine_metrics_fetch_duration_seconds{{{labels}}}", "{{instance}} {{source}}"), least=0),
    ]
    vllm = [
        graph("vLLM: running and waiting", "dynamoqueuegrowing", "Requests in the engine.", "short", (f"vllm:num_requests_running{{{labels}}}", "{{instance}} running"), (f"vllm:num_requests_waiting{{{labels}}}", "{{instance}} waiting"), least=0),
        graph("vLLM: KV cache", "dynamokvcachefull", "Share of the blocks in use.", "percentunit", (f"vllm:kv_cache_usage_perc{{{labels}}}", "{{instance}}"), least=0, most=1),
        graph("vLLM: tokens/s", "traffic", "Prompt tokens and generated tokens.", "short", (rate("vllm:prompt_tokens_total", labels), "prompt"), (rate("vllm:generation_tokens_total", labels), "generation"), least=0),
        graph("vLLM: time to first token, p95", "dynamotimetofirsttokenslow", "As the engine measures it.", "s", (p95("vllm:time_to_first_token_seconds"), "{{instance}}"), least=0),
        graph("vLLM: prefix cache hit share", "traffic", "Tokens found in the prefix cache over tokens asked for.", "percentunit", (ratio("vllm:prefix_cache_hits_total", "vllm:prefix_cache_queries_total", labels), "hits"), least=0, most=1),
        graph("vLLM: preemptions/s", "dynamokvcachefull", "Requests that gave their blocks away.", "reqps", (rate("vllm:num_preemptions_total", labels), "preemptions"), least=0),
    ]
    sglang = [
        graph("SGLang: running and queued", "dynamoqueuegrowing", "Requests in the engine.", "short", (f"sglang:num_running_reqs{{{labels}}}", "{{instance}} running"), (f"sglang:num_queue_reqs{{{labels}}}", "{{instance}} queued"), least=0),
        graph("SGLang: token usage", "dynamokvcachefull", "Share of the token pool in use.", "percentunit", (f"sglang:token_usage{{{labels}}}", "{{instance}}"), least=0, most=1),
        graph("SGLang: tokens/s", "traffic", "Prompt tokens and generated tokens.", "short", (rate("sglang:prompt_tokens_total", labels), "prompt"), (rate("sglang:generation_tokens_total", labels), "generation"), least=0),
    ]
    trtllm = [
        graph("TensorRT-LLM: finished requests/s", "traffic", "Requests that ended.", "reqps", (rate("trtllm_request_success_total", labels, " by (finished_reason)"), "{{finished_reason}}"), least=0),
        graph("TensorRT-LLM: time to first token, p95", "dynamotimetofirsttokenslow", "As the engine measures it.", "s", (p95("trtllm_time_to_first_token_seconds"), "{{instance}}"), least=0),
        graph("TensorRT-LLM: KV cache", "dynamokvcachefull", "Share of the blocks in use.", "percentunit", (f"trtllm_kv_cache_utilization{{{labels}}}", "{{instance}}"), least=0, most=1),
    ]
    chosen = [variable("job", "Job", "label_values(dynamo_engine_metrics_up, job)")]
    return board("dynamo-engines", "Dynamo: engines", "Metrics of vLLM, SGLang and TensorRT-LLM, as the workers' pages pass them on.", chosen, [("Pages", pages), ("vLLM", vllm), ("SGLang", sglang), ("TensorRT-LLM", trtllm)])


def main():
    """Writes the files, or compares them."""
    stale = []
    for name, made in (("overview", overview()), ("fleet", fleet()), ("engines", engines())):
        path, text = FOLDER / f"{name}.json", json.dumps(made, indent=1, sort_keys=True) + "\n"
        if "--check" in sys.argv:
            if not path.exists() or path.read_text() != text:
                stale.append(path.name)
        else:
            path.write_text(text)
    if stale:
        sys.exit(f"{', '.join(stale)}: not what build.py writes; run python deploy/grafana/build.py")


if __name__ == "__main__":
    main()
