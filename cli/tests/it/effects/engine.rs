//! Effects of the options of the simulated engine and of its model.

use super::*;

#[test]
fn times_of_the_engine_pass() {
    for (arguments, output) in [
        (["--token-time-ms", "50"], 5),
        (["--prefill-base-ms", "200"], 1),
        (["--prefill-token-ms", "20"], 1),
    ] {
        let program = serve(&arguments);
        let started = Instant::now();
        assert_eq!(complete(&program, 10, output).status, 200);
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(200), "{arguments:?}: {took:?}");
    }
}

#[test]
fn a_prompt_above_the_budget_of_a_step_waits_for_further_steps() {
    let program = serve(&["--max-num-batched-tokens", "2", "--token-time-ms", "40"]);
    let _running = begun_stream(&program, 1, 20_000);
    let started = Instant::now();
    assert_eq!(complete(&program, 10, 1).status, 200);
    // One token of each step is the other sequence's, so ten tokens of a prompt need nine further steps.
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(9 * 40), "{took:?}");
}

#[test]
fn slots_queue_and_memory_are_limits() {
    let program = serve(&["--max-num-seqs", "1", "--max-waiting", "0"]);
    let _running = begun_stream(&program, 1, 20_000);
    assert_eq!(complete(&program, 1, 1).status, 429);

    // A sequence that is larger than the cache runs alone, whatever slots are free.
    let program = serve(&["--kv-blocks", "4"]);
    let _running = begun_stream(&program, 1, 20_000);
    let body = completion(1, 20_000, true);
    let _waiting =
        open(program.address("frontend"), "POST", "/v1/completions", "application/json", &body);
    eventually(program.address("frontend"), "one waits for memory", |page| {
        let value = |name: &str| page.value(&format!("dynamo_frontend_{name}_requests"), &LABEL);
        (value("inflight"), value("queued")) == (Some(2.0), Some(1.0))
    });
}

#[test]
fn prompts_are_reused_by_whole_blocks_unless_caching_is_off() {
    for (arguments, cached) in [
        (&[][..], 16),
        (&["--block-size", "8"], 24),
        (&["--block-size", "32"], 0),
        (&["--no-enable-prefix-caching"], 0),
    ] {
        let program = serve(arguments);
        complete(&program, 24, 1);
        let usage = complete(&program, 24, 1).json()["usage"].clone();
        let tokens = usage["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap_or(0);
        assert_eq!(tokens, cached, "{arguments:?}: {usage}");
    }
}

#[test]
fn the_context_is_a_limit_and_the_card_is_shown() {
    let program = serve(&["--context-length", "20", "--migration-limit", "7"]);
    assert_eq!(complete(&program, 15, 6).status, 400);
    assert_eq!(complete(&program, 15, 5).status, 200);
    let page = scrape(program.address("frontend"));
    assert_eq!(page.value("dynamo_frontend_model_migration_limit", &LABEL), Some(7.0));
}

#[test]
fn a_request_moves_no_more_often_than_the_limit() {
    let frontend = Program::start(&["frontend", "--http-port", "0"], &[], &["frontend"]);
    let url = format!("http://{}", frontend.address("frontend"));
    let worker = |id: &str| {
        let options = ["--instance-id", id, "--migration-limit", "0", "--token-time-ms", "10"];
        let arguments = [&["worker", "--frontend", &url][..], &options].concat();
        let program = Program::start(&arguments, &[], &["system", "requests"]);
        eventually(frontend.address("system"), "the worker joined", |page| {
            page.samples().any(|sample| sample.label("worker_id") == Some(id))
        });
        program
    };
    let mut workers = [worker("1"), worker("2")];
    let stream = begun_stream(&frontend, 1, 20_000);
    let busy = |worker: &Program| {
        scrape(worker.address("system")).sum("dynamo_component_inflight_requests") == Some(1.0)
    };
    let its = workers.iter().position(busy).unwrap();
    workers[its].kill();
    let mut rest = String::new();
    BufReader::new(stream).read_to_string(&mut rest).unwrap();
    assert!(rest.contains("\"error\"") && !rest.contains("[DONE]"), "{rest}");
    let page = scrape(frontend.address("frontend"));
    assert_eq!(page.sum("dynamo_frontend_model_migration_total").unwrap_or(0.0), 0.0);
}

#[test]
fn an_engine_that_is_to_die_ends_the_process() {
    let output = run(&["worker", "--die-after", "0.1"], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors(&output).contains("--die-after"), "{}", errors(&output));
}

#[test]
fn names_of_models_without_a_worker_are_label_values_up_to_the_limit() {
    for command in ["serve", "frontend"] {
        let arguments = [command, "--http-port", "0", "--unserved-models-max", "1"];
        let program = Program::start(&arguments, &[], &["frontend"]);
        let address = program.address("frontend");
        for model in ["first", "second"] {
            let body = completion(1, 1, false).replace(MODEL, model);
            assert_eq!(post(address, "/v1/completions", &body).status, 404);
        }
        let page = scrape(address);
        let inflight = |model| page.value("dynamo_frontend_inflight_requests", &[("model", model)]);
        assert_eq!((inflight("first"), inflight("second")), (Some(0.0), None), "{command}");
    }
}
