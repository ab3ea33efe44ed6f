//! Effects of the options of a replay.

use super::*;

#[test]
fn options_of_a_replay_change_what_it_shows() {
    // Two requests at once, whose prompts share 1,024 tokens of 2,048.
    let row = |ids: &str| {
        format!(r#"{{"timestamp":0,"input_length":2048,"output_length":100,"hash_ids":[{ids}]}}"#)
            + "\n"
    };
    let trace = file("effects.jsonl", &(row("1,2,3,4") + &row("1,2,5,6")));
    let run = |more: &[&str]| replay(&trace, more, &[]);
    let waited =
        |page: &Exposition| page.sum("dynamo_frontend_time_to_first_token_seconds_sum").unwrap();
    let plain = run(&[]);
    assert_eq!(plain.sum("dynamo_frontend_cached_tokens_sum"), Some(1024.0));
    let uncached = run(&["--no-enable-prefix-caching"]);
    assert_eq!(uncached.sum("dynamo_frontend_cached_tokens_sum").unwrap_or(0.0), 0.0);
    assert!(waited(&run(&["--max-num-seqs", "1"])) > waited(&plain));
    assert!(waited(&run(&["--kv-blocks", "5"])) > waited(&plain));
    assert!(waited(&run(&["--workers", "2", "--no-enable-prefix-caching"])) < waited(&uncached));
    let named = run(&["--model", "m", "--namespace", "ns"]);
    let value = |name: &str, label| named.value(name, &[label]);
    assert_eq!(value("dynamo_frontend_output_tokens_total", ("model", "m")), Some(200.0));
    assert!(named.samples().any(|sample| sample.label("dynamo_namespace") == Some("ns")));

    // A trace without ids has blocks too, whose size is the user's.
    let trace = csv("effects.csv", &[(0, 10, 1), (1, 10, 1)]);
    let block_size =
        |more: &[&str]| replay(&trace, more, &[]).sum("dynamo_frontend_model_kv_cache_block_size");
    assert_eq!((block_size(&[]), block_size(&["--block-size", "64"])), (Some(16.0), Some(64.0)));
    let dated = file(
        "effects-dates.csv",
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,1,1\n",
    );
    let output = self::run(&["replay", dated.to_str().unwrap(), "--time-unit", "s"], &[]);
    assert!(errors(&output).contains(":2: TIMESTAMP is `2023-11-16"), "{}", errors(&output));
}

#[test]
fn a_replays_port_and_health_are_those_of_the_environment() {
    let trace = csv("ports.csv", &[(0, 10, 1)]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let arguments = ["replay", trace.to_str().unwrap(), "--serve"];
    let error = errors(&run(&arguments, &[("DYN_HTTP_PORT", &port)]));
    assert!(error.contains("DYN_HTTP_PORT") && error.contains(&port), "{error}");
    for (status, code) in [("", 200), ("notready", 503)] {
        let environment = [("DYN_HTTP_PORT", "0"), ("DYN_SYSTEM_STARTING_HEALTH_STATUS", status)];
        let program = Program::start(&arguments, &environment, &["worker"]);
        assert_eq!(get(program.address("worker"), "/health").status, code, "{status:?}");
    }
}
