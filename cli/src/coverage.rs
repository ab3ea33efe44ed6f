//! Every option of every command and every variable is shown to act by a test, which is named here.
//!
//! A new option or variable without an entry fails, and so does an entry whose test is gone or does not name it.

use crate::arguments::Arguments;
use crate::environment::PROGRAM_VARIABLES;
use clap::CommandFactory;
use dynamo_metrics::environment::VARIABLES;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Commands, one of their options or their argument, and the test that shows its effect.
const OPTIONS: &[(&[&str], &str, &str)] = &[
    (&["serve", "frontend", "worker", "replay"], "--host", "hosts_and_ports_are_listened_on"),
    (&["serve"], "--http-port", "a_port_in_use_is_an_error_that_names_the_setting"),
    (&["frontend"], "--http-port", "hosts_and_ports_are_listened_on"),
    (&["replay"], "--http-port", "the_environment_says_where_a_replay_serves"),
    (&["worker"], "--port", "hosts_and_ports_are_listened_on"),
    (&["serve", "frontend"], "--worker-token", "a_token_is_asked_of_workers"),
    (&["worker"], "--worker-token", "a_worker_needs_the_token_that_the_frontend_was_given"),
    (
        &["serve", "frontend"],
        "--unserved-models-max",
        "names_of_models_without_a_worker_are_label_values_up_to_the_limit",
    ),
    (&["worker"], "--frontend", "places_are_named_on_every_page"),
    (&["worker"], "--advertise-system", "a_frontend_lists_the_system_addresses_of_its_workers"),
    (&["sd"], "--frontend", "a_frontend_lists_the_system_addresses_of_its_workers"),
    (&["sd"], "--file", "a_frontend_lists_the_system_addresses_of_its_workers"),
    (&["sd"], "--worker-token", "the_list_needs_the_token_of_workers"),
    (&["sd"], "--every", "the_file_follows_the_workers"),
    (&["worker"], "--advertise", "an_advertised_address_is_what_the_frontend_uses"),
    (&["worker"], "--instance-id", "places_are_named_on_every_page"),
    (&["worker"], "--die-after", "an_engine_that_is_to_die_ends_the_process"),
    (&["serve", "frontend", "worker"], "--namespace", "places_are_named_on_every_page"),
    (&["replay"], "--namespace", "options_of_a_replay_change_what_it_shows"),
    (&["serve", "worker"], "--component", "places_are_named_on_every_page"),
    (&["serve", "worker"], "--engine-metrics", "engines_get_the_workers_labels_on_request"),
    (&["serve", "worker"], "--label-engine-metrics", "engines_get_the_workers_labels_on_request"),
    (&["serve"], "--model", "a_model_with_a_long_name_is_listed_as_it_is_asked_for"),
    (&["worker"], "--model", "workers_join_over_ipv6_behind_a_slash_and_from_every_address"),
    (&["replay"], "--model", "options_of_a_replay_change_what_it_shows"),
    (&["serve"], "--max-num-seqs", "slots_queue_and_memory_are_limits"),
    (&["worker"], "--max-num-seqs", "full_workers_turn_requests_away_with_429"),
    (&["replay"], "--max-num-seqs", "options_of_a_replay_change_what_it_shows"),
    (&["serve"], "--max-waiting", "slots_queue_and_memory_are_limits"),
    (&["worker"], "--max-waiting", "full_workers_turn_requests_away_with_429"),
    (
        &["serve", "worker"],
        "--max-num-batched-tokens",
        "a_prompt_above_the_budget_of_a_step_waits_for_further_steps",
    ),
    (&["serve", "worker"], "--token-time-ms", "times_of_the_engine_pass"),
    (&["serve", "worker"], "--prefill-base-ms", "times_of_the_engine_pass"),
    (&["serve", "worker"], "--prefill-token-ms", "times_of_the_engine_pass"),
    (&["serve", "worker"], "--kv-blocks", "slots_queue_and_memory_are_limits"),
    (&["replay"], "--kv-blocks", "options_of_a_replay_change_what_it_shows"),
    (
        &["serve", "worker"],
        "--block-size",
        "prompts_are_reused_by_whole_blocks_unless_caching_is_off",
    ),
    (&["replay"], "--block-size", "options_of_a_replay_change_what_it_shows"),
    (
        &["serve", "worker"],
        "--no-enable-prefix-caching",
        "prompts_are_reused_by_whole_blocks_unless_caching_is_off",
    ),
    (&["replay"], "--no-enable-prefix-caching", "options_of_a_replay_change_what_it_shows"),
    (&["serve", "worker"], "--context-length", "the_context_is_a_limit_and_the_card_is_shown"),
    (&["serve"], "--migration-limit", "the_context_is_a_limit_and_the_card_is_shown"),
    (&["worker"], "--migration-limit", "a_request_moves_no_more_often_than_the_limit"),
    (&["serve"], "--web-config-file", "a_bad_file_stops_the_program_with_its_line"),
    (
        &["frontend", "worker"],
        "--web-config-file",
        "the_system_port_asks_for_the_password_of_the_file",
    ),
    (
        &["serve", "frontend", "worker"],
        "--dashboard",
        "the_live_page_is_there_unless_it_is_turned_off",
    ),
    (
        &["serve", "frontend", "worker"],
        "--landing-page",
        "the_system_port_has_a_landing_page_and_a_socket_on_request",
    ),
    (
        &["serve", "frontend", "worker"],
        "--system-unix-socket",
        "the_system_port_has_a_landing_page_and_a_socket_on_request",
    ),
    (
        &["serve", "frontend", "worker"],
        "--cors-origin",
        "pages_of_other_origins_may_read_only_where_they_were_named",
    ),
    (&["replay"], "trace", "public_tools_traces_are_read_in_their_own_units"),
    (&["replay"], "--time-unit", "public_tools_traces_are_read_in_their_own_units"),
    (&["replay"], "--workers", "options_of_a_replay_change_what_it_shows"),
    (&["replay"], "--exposition", "a_replay_is_the_same_every_time"),
    (&["replay"], "--speed", "in_real_time_both_endpoints_can_be_watched"),
    (&["replay"], "--serve", "in_real_time_both_endpoints_can_be_watched"),
    (&["check"], "--format", "a_report_for_machines"),
    (&["check"], "--deny-warnings", "legal_spellings_are_warnings_which_can_be_denied"),
    (&["check"], "inputs", "the_exit_code_tells_errors_from_unreadable_inputs"),
];

/// A variable, or for those of bounds the end of its name, and the test that shows its effect.
const SHOWN_BY: &[(&str, &str)] = &[
    ("DYN_SYSTEM_PORT", "hosts_and_ports_are_listened_on"),
    ("DYN_SYSTEM_HOST", "hosts_and_ports_are_listened_on"),
    ("DYN_SYSTEM_HEALTH_PATH", "paths_of_the_system_port_are_moved"),
    ("DYN_SYSTEM_LIVE_PATH", "paths_of_the_system_port_are_moved"),
    ("DYN_SYSTEM_STARTING_HEALTH_STATUS", "variables_of_health_decide_it"),
    ("DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS", "variables_of_health_decide_it"),
    ("DYN_HEALTH_CHECK_ENABLED", "variables_of_health_decide_it"),
    ("DYN_CANARY_WAIT_TIME", "variables_of_health_decide_it"),
    ("DYN_HEALTH_CHECK_REQUEST_TIMEOUT", "variables_of_health_decide_it"),
    ("DYN_SYSTEM_ENABLED", "variables_of_health_decide_it"),
    ("DYN_METRICS_WEB_CONFIG_FILE", "probes_pass_without_a_password_on_request"),
    ("DYN_METRICS_PROBES_WITHOUT_AUTH", "probes_pass_without_a_password_on_request"),
    ("DYN_METRICS_CORS_ORIGINS", "pages_of_other_origins_may_read_only_where_they_were_named"),
    ("DYN_METRICS_DETAILS", "a_workers_page_has_40_series_unless_details_are_asked_for"),
    ("DYN_METRICS_NATIVE_HISTOGRAMS", "text_is_the_same_with_native_histograms"),
    ("DYN_METRICS_ROUTER_WORKERS", "a_frontends_series_do_not_grow_with_its_workers"),
    ("DYN_HTTP_PORT", "a_replays_port_and_health_are_those_of_the_environment"),
    ("DYN_HTTP_SVC_METRICS_PATH", "paths_and_names_of_the_frontend_are_moved"),
    ("DYN_HTTP_SVC_HEALTH_PATH", "paths_and_names_of_the_frontend_are_moved"),
    ("DYN_HTTP_SVC_LIVE_PATH", "paths_and_names_of_the_frontend_are_moved"),
    ("DYN_METRICS_PREFIX", "paths_and_names_of_the_frontend_are_moved"),
    ("MIN", "variables_of_bounds_move_them"),
    ("MAX", "variables_of_bounds_move_them"),
    ("COUNT", "variables_of_bounds_move_them"),
    ("DYN_NAMESPACE", "places_are_named_on_every_page"),
    ("DYN_METRICS_WORKER_TOKEN", "a_worker_needs_the_token_that_the_frontend_was_given"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "variables_of_a_push_decide_it"),
    ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "variables_of_a_push_decide_it"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "variables_of_a_push_decide_it"),
    ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "variables_of_a_push_decide_it"),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "variables_of_a_push_decide_it"),
    ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "variables_of_a_push_decide_it"),
    ("OTEL_EXPORTER_OTLP_COMPRESSION", "variables_of_a_push_decide_it"),
    ("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "variables_of_a_push_decide_it"),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "variables_of_a_push_decide_it"),
    ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "variables_of_a_push_decide_it"),
    ("OTEL_METRIC_EXPORT_INTERVAL", "variables_of_a_push_decide_it"),
    ("OTEL_RESOURCE_ATTRIBUTES", "variables_of_a_push_decide_it"),
    ("OTEL_SERVICE_NAME", "variables_of_a_push_decide_it"),
    ("OTEL_SDK_DISABLED", "variables_of_a_push_decide_it"),
    ("DYN_LOG", "the_log_is_as_detailed_as_asked"),
    ("NO_COLOR", "a_terminal_gets_colours_unless_it_says_no"),
    ("TERM", "a_terminal_gets_colours_unless_it_says_no"),
];

/// Bodies of all tests of the program, by name.
fn tests() -> BTreeMap<String, String> {
    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"), &mut files);
    let mut tests = BTreeMap::new();
    for text in files.iter().map(|file| fs::read_to_string(file).unwrap()) {
        for (at, _) in text.match_indices("#[test]\n") {
            let test = &text[at..];
            let body = &test[..test.find("\n}\n").unwrap_or(test.len())];
            let name = body.split_once("fn ").and_then(|(_, rest)| rest.split_once('('));
            tests.insert(name.unwrap().0.to_owned(), body.to_owned());
        }
    }
    tests
}

/// Fails unless the test is there and its body names the option or variable; a positional argument has no name on the command line.
fn check_shown(tests: &BTreeMap<String, String>, test: &str, named: &str) {
    let body = tests.get(test).unwrap_or_else(|| panic!("{named}: there is no test {test}"));
    let positional = named.chars().all(|c| c.is_ascii_lowercase());
    assert!(positional || body.contains(named), "the test {test} does not name {named}");
}

#[test]
fn every_option_of_every_command_is_shown_to_act() {
    let tests = tests();
    let mut listed = BTreeSet::new();
    for (commands, option, test) in OPTIONS {
        check_shown(&tests, test, option);
        for command in *commands {
            assert!(
                listed.insert((command.to_string(), option.to_string())),
                "{command} {option} twice"
            );
        }
    }
    let mut program = Arguments::command();
    program.build();
    let mut known = BTreeSet::new();
    for command in program.get_subcommands().filter(|command| command.get_name() != "help") {
        for argument in command.get_arguments() {
            let name = match argument.get_long() {
                Some(long) => format!("--{long}"),
                None => argument.get_id().to_string(),
            };
            if !matches!(name.as_str(), "--help" | "--version") {
                known.insert((command.get_name().to_owned(), name));
            }
        }
    }
    let unshown: Vec<_> = known.difference(&listed).collect();
    assert!(unshown.is_empty(), "options without a test that shows their effect: {unshown:?}");
    let unknown: Vec<_> = listed.difference(&known).collect();
    assert!(unknown.is_empty(), "options that no command has: {unknown:?}");
}

#[test]
fn every_variable_is_shown_to_act_and_documented() {
    let tests = tests();
    for (variable, test) in SHOWN_BY {
        check_shown(&tests, test, variable);
    }
    let page = include_str!("../../docs/environment.md");
    for (variable, _) in PROGRAM_VARIABLES {
        assert!(
            page.contains(&format!("| `{variable}` |")),
            "docs/environment.md lacks {variable}"
        );
    }
    let program = PROGRAM_VARIABLES.iter().map(|(name, _)| *name);
    let known: BTreeSet<&str> =
        VARIABLES.iter().map(|variable| variable.name).chain(program).collect();
    let entry = |name: &str| SHOWN_BY.iter().any(|(shown, _)| *shown == name);
    for name in &known {
        let part = name.rsplit_once('_').map_or("", |(_, part)| part);
        assert!(entry(name) || entry(part), "{name} has no test that shows its effect");
    }
    for (name, _) in SHOWN_BY {
        let bounds = matches!(*name, "MIN" | "MAX" | "COUNT");
        assert!(bounds || known.contains(name), "there is no variable {name}");
    }
    // Options that take a variable take one of the table.
    for command in Arguments::command().get_subcommands() {
        for variable in command.get_arguments().filter_map(|argument| argument.get_env()) {
            let variable = variable.to_str().unwrap();
            assert!(known.contains(variable), "PROGRAM_VARIABLES lacks {variable}");
        }
    }
}
