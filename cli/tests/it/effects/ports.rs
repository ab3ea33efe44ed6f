//! Effects of options and variables of the ports, their paths and their health.

use super::*;

#[test]
fn places_are_named_on_every_page() {
    let endpoint = |address: &str| get(address, "/health").json()["endpoints"][0].clone();
    let placed = ["--namespace", "ns", "--component", "decoder"];
    let program = serve(&placed);
    assert_eq!(endpoint(program.address("frontend")), "dyn://ns.decoder.generate");
    let arguments = ["serve", "--http-port", "0"];
    let program = Program::start(&arguments, &[("DYN_NAMESPACE", "ns")], &["frontend"]);
    assert_eq!(endpoint(program.address("frontend")), "dyn://ns.backend.generate");

    let off = [("DYN_SYSTEM_PORT", "-1")];
    let arguments = ["frontend", "--http-port", "0", "--namespace", "front"];
    let frontend = Program::start(&arguments, &off, &["frontend"]);
    let url = format!("http://{}", frontend.address("frontend"));
    let arguments = [&["worker", "--frontend", &url, "--instance-id", "7"][..], &placed].concat();
    let _worker = Program::start(&arguments, &[], &["system"]);
    eventually(frontend.address("frontend"), "the router lists the worker", |page| {
        page.samples().any(|sample| {
            sample.label("worker_id") == Some("7")
                && sample.label("dynamo_namespace") == Some("front")
        })
    });
    assert_eq!(endpoint(frontend.address("frontend")), "dyn://ns.decoder.generate");
}

#[test]
fn hosts_and_ports_are_listened_on() {
    let trace = csv("hosts.csv", &[(0, 10, 1)]);
    let trace = trace.to_str().unwrap();
    for (arguments, word) in [
        (&["serve", "--http-port", "0"][..], "frontend"),
        (&["frontend", "--http-port", "0", "--worker-token", "t"], "frontend"),
        (&["worker"], "requests"),
        (&["replay", trace, "--serve", "--http-port", "0"], "frontend"),
    ] {
        let arguments = [arguments, &["--host", "127.0.0.2"]].concat();
        let program = Program::start(&arguments, &[], &[word]);
        assert!(program.address(word).starts_with("127.0.0.2:"), "{arguments:?}");
    }
    let program = Program::start(&["worker"], &[("DYN_SYSTEM_HOST", "127.0.0.3")], &["system"]);
    assert!(program.address("system").starts_with("127.0.0.3:"));

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let error = errors(&run(&["worker", "--port", &port], &[]));
    assert!(error.contains(&format!("127.0.0.1:{port} (--port)")), "{error}");
    let error = errors(&run(&["worker"], &[("DYN_SYSTEM_PORT", &port)]));
    assert!(error.contains("DYN_SYSTEM_PORT") && error.contains(&port), "{error}");
}

#[test]
fn no_page_hides_another() {
    let system = [("DYN_SYSTEM_PORT", "0"), ("DYN_SYSTEM_LIVE_PATH", "/dashboard")];
    let error = errors(&run(&["frontend", "--http-port", "0"], &system));
    assert!(error.contains("\"/dashboard\""), "{error}");
    for name in ["DYN_HTTP_SVC_METRICS_PATH", "DYN_HTTP_SVC_HEALTH_PATH"] {
        let moved = [("DYN_SYSTEM_PORT", "-1"), (name, "/dashboard")];
        let error = errors(&run(&["frontend", "--http-port", "0"], &moved));
        assert!(error.contains("a page at /dashboard"), "{error}");
        let arguments = ["frontend", "--http-port", "0", "--dashboard=false"];
        let program = Program::start(&arguments, &moved, &["frontend"]);
        assert_eq!(get(program.address("frontend"), "/dashboard").status, 200);
    }
}

#[test]
fn a_token_is_asked_of_workers() {
    for command in ["serve", "frontend"] {
        for (token, status) in [(&[][..], 422), (&["--worker-token", "secret"], 401)] {
            let arguments = [&[command, "--http-port", "0"], token].concat();
            let program = Program::start(&arguments, &[], &["frontend"]);
            let answer = post(program.address("frontend"), "/internal/workers", "{}");
            assert_eq!(answer.status, status, "{arguments:?}");
        }
    }
}

#[test]
fn the_system_port_has_a_landing_page_and_a_socket_on_request() {
    for (command, word) in [("serve", "worker"), ("frontend", "system"), ("worker", "system")] {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{command}-effects.sock"));
        let socket = ["--system-unix-socket", path.to_str().unwrap()];
        let port: &[&str] = if command == "worker" { &[] } else { &["--http-port", "0"] };
        let start = |more: &[&str]| {
            // A process that was killed leaves its socket behind.
            let _ = std::fs::remove_file(&path);
            Program::start(&[&[command], port, &socket, more].concat(), &[], &[word])
        };
        let program = start(&[]);
        assert_eq!(get(program.address(word), "/").status, 200, "{command}");
        let mut stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        assert!(page.contains("\r\n\r\n# HELP"), "{command}: {page}");
        drop(program);
        let program = start(&["--landing-page=false"]);
        assert_eq!(get(program.address(word), "/").status, 404, "{command}");
    }
}

#[test]
fn the_live_page_is_there_unless_it_is_turned_off() {
    for (command, words) in [
        ("serve", &["frontend", "worker"][..]),
        ("frontend", &["frontend", "system"]),
        ("worker", &["system"]),
    ] {
        let port: &[&str] = if command == "worker" { &[] } else { &["--http-port", "0"] };
        let program = Program::start(&[&[command], port].concat(), &[], words);
        for word in words {
            let page = get(program.address(word), "/dashboard");
            assert_eq!(page.status, 200, "{command} {word}");
            assert!(
                page.body.contains("data-metrics=\"/metrics\""),
                "{command} {word}: {}",
                page.body
            );
            assert_eq!(
                get(program.address(word), "/dashboard/main.js").status,
                200,
                "{command} {word}"
            );
        }
        drop(program);
        let off = Program::start(&[&[command], port, &["--dashboard=false"]].concat(), &[], words);
        for word in words {
            assert_eq!(get(off.address(word), "/dashboard").status, 404, "{command} {word}");
        }
    }
}

#[test]
fn options_of_a_system_port_that_is_off_are_refused() {
    for command in ["frontend", "worker", "serve"] {
        for option in
            ["--system-unix-socket=/tmp/x", "--web-config-file=/tmp/x", "--landing-page=true"]
        {
            let error = errors(&run(&[command, option], &[("DYN_HTTP_PORT", "0")]));
            let name = option.split('=').next().unwrap();
            assert!(
                error.contains(name) && error.contains("DYN_SYSTEM_PORT"),
                "{command}: {error}"
            );
        }
    }
    let trace = csv("unserved.csv", &[(0, 10, 1)]);
    for option in ["--host=127.0.0.1", "--http-port=0"] {
        let error = errors(&run(&["replay", trace.to_str().unwrap(), option], &[]));
        assert!(error.contains("--serve"), "{option}: {error}");
    }
}

#[test]
fn engines_get_the_workers_labels_on_request() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/metrics", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nengine_up 1\n");
        }
    });
    let engine = format!("mine={url}");
    for (command, word) in [("serve", "worker"), ("worker", "system")] {
        let arguments = [command, "--engine-metrics", &engine, "--label-engine-metrics"];
        let environment = [("DYN_HTTP_PORT", "0")];
        let program = Program::start(&arguments, &environment, &[word]);
        eventually(program.address(word), "the engine's sample has labels", |page| {
            page.samples().any(|sample| {
                sample.name == "engine_up" && sample.label("dynamo_component") == Some("backend")
            })
        });
    }
}

#[test]
fn paths_of_the_system_port_are_moved() {
    let environment = [("DYN_SYSTEM_HEALTH_PATH", "/healthz"), ("DYN_SYSTEM_LIVE_PATH", "/livez")];
    let program = Program::start(&["worker"], &environment, &["system"]);
    let status = |path: &str| get(program.address("system"), path).status;
    eventually(program.address("system"), "the worker is ready", |_| status("/healthz") == 200);
    assert_eq!((status("/livez"), status("/health"), status("/live")), (200, 404, 404));
}

#[test]
fn paths_and_names_of_the_frontend_are_moved() {
    let environment = [
        ("DYN_HTTP_SVC_METRICS_PATH", "/m"),
        ("DYN_HTTP_SVC_HEALTH_PATH", "/h"),
        ("DYN_HTTP_SVC_LIVE_PATH", "/l"),
        ("DYN_METRICS_PREFIX", "my_llm"),
    ];
    let program = Program::start(&["frontend", "--http-port", "0"], &environment, &["frontend"]);
    let answer = |path: &str| get(program.address("frontend"), path);
    for (path, status) in [("/h", 200), ("/l", 200), ("/metrics", 404), ("/health", 404)] {
        assert_eq!(answer(path).status, status, "{path}");
    }
    let page = answer("/m").body;
    assert!(page.contains("\nmy_llm_") && !page.contains("dynamo_frontend_"), "{page}");
}

#[test]
fn variables_of_health_decide_it() {
    let worker = |environment: &[(&str, &str)]| {
        Program::start(
            &["worker", "--prefill-base-ms", "300"],
            environment,
            &["system", "requests"],
        )
    };
    let health = |environment: &[(&str, &str)], status: u16| {
        let program = worker(environment);
        let address = program.address("system");
        eventually(address, "the status", |_| get(address, "/health").status == status);
    };
    health(&[], 200);
    health(&[("DYN_SYSTEM_STARTING_HEALTH_STATUS", "notready")], 503);
    health(&[("DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS", r#"["absent"]"#)], 503);
    // The engine answers a canary after 0.3 s.
    let checks = [("DYN_HEALTH_CHECK_ENABLED", "true"), ("DYN_CANARY_WAIT_TIME", "0.05")];
    health(&[&checks[..], &[("DYN_HEALTH_CHECK_REQUEST_TIMEOUT", "60")]].concat(), 200);
    let late = [&checks[..], &[("DYN_HEALTH_CHECK_REQUEST_TIMEOUT", "0.05")]].concat();
    let program = worker(&late);
    eventually(program.address("system"), "two canaries were answered", |page| {
        page.sum("dynamo_component_requests_total") >= Some(2.0)
    });
    assert_eq!(get(program.address("system"), "/health").status, 503);
    let error = errors(&run(&["worker", "--die-after", "0"], &[("DYN_SYSTEM_ENABLED", "true")]));
    assert!(error.contains("DYN_SYSTEM_ENABLED=\"true\": it is deprecated"), "{error}");
}

#[test]
fn probes_pass_without_a_password_on_request() {
    let hash = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";
    let path = file("effects-web.yml", &format!("basic_auth_users:\n  prometheus: {hash}\n"));
    for (value, status) in [("false", 401), ("true", 200)] {
        let environment = [
            ("DYN_METRICS_WEB_CONFIG_FILE", path.to_str().unwrap()),
            ("DYN_METRICS_PROBES_WITHOUT_AUTH", value),
        ];
        let program =
            Program::start(&["serve", "--http-port", "0"], &environment, &["worker", "frontend"]);
        let answer = |path: &str| get(program.address("worker"), path).status;
        assert_eq!((answer("/health"), answer("/metrics")), (status, 401), "{value}");
    }
}
