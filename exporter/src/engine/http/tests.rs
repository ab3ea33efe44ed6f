use super::*;
use std::net::TcpListener;
use std::thread;

/// Serves one connection: reads the request's head, then sends the pieces with a pause between them.
fn serve(pieces: Vec<Vec<u8>>, pause: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/metrics", listener.local_addr().unwrap());
    thread::spawn(move || {
        let Ok((mut stream, _)) = listener.accept() else { return };
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) > 0 {
            head.push(byte[0]);
        }
        for piece in pieces {
            if stream.write_all(&piece).is_err() {
                return;
            }
            thread::sleep(pause);
        }
    });
    url
}

fn body(url: &str, timeout: Duration) -> Result<Vec<u8>, EngineError> {
    let mut body = Vec::new();
    Url::parse(url)?.get("text/plain", timeout, &mut body)?;
    Ok(body)
}

fn get(answer: impl Into<Vec<u8>>) -> Result<Vec<u8>, EngineError> {
    // Byte by byte as well as at once: no boundary of a read may matter.
    let answer = answer.into();
    let bytes = answer.iter().map(|&byte| vec![byte]).collect();
    let timeout = Duration::from_secs(5);
    let slowly = body(&serve(bytes, Duration::ZERO), timeout);
    let at_once = body(&serve(vec![answer], Duration::ZERO), timeout);
    assert_eq!(slowly, at_once);
    at_once
}

#[test]
fn bodies_of_every_framing_are_read() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nx 1\nignored",
        "HTTP/1.1 200 OK\r\n\r\nx 1\n",
        "HTTP/1.0 200 OK\n\nx 1\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length:4\r\n\r\nx 1\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 99\r\n\r\n\
         2\r\nx \r\n2;a=b\r\n1\n\r\n0\r\nTrailer: t\r\n\r\n",
        // Lines that go on, and spaces before the status: old servers write them, and Go's client reads them.
        "HTTP/1.1 200 OK\r\nX-Note: one,\r\n two\r\nContent-Length:\r\n\t4\r\n\r\nx 1\nignored",
        "HTTP/1.1  200 OK\r\nContent-Length: 4\r\n\r\nx 1\nignored",
    ] {
        assert_eq!(get(answer), Ok(b"x 1\n".to_vec()), "{answer:?}");
    }
    assert_eq!(get("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), Ok(Vec::new()));
}

#[test]
fn what_cannot_be_read_says_why() {
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(ENGINE_HEAD_BYTES_MAX));
    let huge = ENGINE_BODY_BYTES_MAX + 1;
    for (answer, reason) in [
        ("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n".to_string(), "status"),
        ("HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\n\r\n".into(), "redirect"),
        ("HTTP/1.1 307 Temporary Redirect\r\n\r\n".into(), "status"),
        ("HTTP/1.1 304 Not Modified\r\nLocation: /\r\n\r\n".into(), "status"),
        ("HTTP/1.1 204 No Content\r\n\r\n".into(), "status"),
        ("HTTP/1.1 200 OK\r\nContent-Encoding: br\r\n\r\nxx".into(), "malformed"),
        ("HTTP/1.1 200 OK\r\nContent-Encoding: gzip, gzip\r\n\r\nxx".into(), "malformed"),
        ("SSH-2.0-OpenSSH\r\n".into(), "malformed"),
        ("HTTP/1.1 OK\r\n\r\n".into(), "malformed"),
        ("HTTP/1.1 200 OK\r\nno colon\r\n\r\n".into(), "malformed"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx".into(), "malformed"),
        ("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nxx".into(), "malformed"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n".into(), "malformed"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".into(), "malformed"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxx\r\n".into(), "malformed"),
        (long, "malformed"),
        (format!("HTTP/1.1 200 OK\r\nContent-Length: {huge}\r\n\r\n"), "too_large"),
        (format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{huge:x}\r\n"), "too_large"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx 1\n".into(), "connection"),
        ("HTTP/1.1 200 OK\r\nContent-".into(), "connection"),
    ] {
        let error = get(answer.clone()).unwrap_err();
        assert_eq!(error.reason(), reason, "{error} for {:?}", &answer[..answer.len().min(80)]);
    }
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(text).unwrap();
    packed.finish().unwrap()
}

#[test]
fn a_compressed_body_is_read_and_bounded() {
    let answer = |coding: &str, body: &[u8]| {
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Encoding:{coding}\r\n\r\n");
        [answer.as_bytes(), body].concat()
    };
    let text = b"x 1\n".to_vec();
    for plain in ["", " ", " identity", " identity, "] {
        assert_eq!(get(answer(plain, &text)), Ok(text.clone()), "{plain:?}");
    }
    for packed in [" gzip", " GZIP", " x-gzip", " gzip, identity"] {
        assert_eq!(get(answer(packed, &gzip(&text))), Ok(text.clone()), "{packed:?}");
    }
    let two_members = [gzip(b"x 1\n"), gzip(b"y 2\n")].concat();
    assert_eq!(get(answer(" gzip", &two_members)), Ok(b"x 1\ny 2\n".to_vec()));
    let whole = gzip(&text);
    let error = get(answer(" gzip", &whole[..whole.len() - 4])).unwrap_err();
    assert_eq!(error.reason(), "malformed");
    let bomb = gzip(&vec![b'x'; ENGINE_BODY_BYTES_MAX + 1]);
    assert!(bomb.len() < 1 << 20);
    let url = serve(vec![answer(" gzip", &bomb)], Duration::ZERO);
    let error = body(&url, Duration::from_secs(20)).unwrap_err();
    assert_eq!(error, EngineError::TooLarge { max: ENGINE_BODY_BYTES_MAX });
}

/// Serves each connection by its path; returns the address.
fn serve_paths(answer: impl Fn(&str) -> String + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) > 0 {
                head.push(byte[0]);
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            let path = head.split(' ').nth(1).unwrap_or_default();
            let _ = stream.write_all(answer(path).as_bytes());
        }
    });
    address
}

#[test]
fn redirections_on_the_same_host_are_followed_and_bounded() {
    let address = serve_paths(|path| match path {
        "/metrics" => "HTTP/1.1 307 Temporary Redirect\r\nLocation: /metrics/\r\n\r\n".into(),
        "/metrics/" => "HTTP/1.1 200 OK\r\n\r\nx 1\n".into(),
        "/twice" => {
            "HTTP/1.1 301 Moved\r\nLocation: metrics\r\nContent-Length: 3\r\n\r\nabc".into()
        }
        _ => format!("HTTP/1.1 302 Found\r\nLocation: {path}x\r\n\r\n"),
    });
    let timeout = Duration::from_secs(20);
    for path in ["/metrics", "/twice"] {
        assert_eq!(body(&format!("http://{address}{path}"), timeout), Ok(b"x 1\n".to_vec()));
    }
    let error = body(&format!("http://{address}/loop"), timeout).unwrap_err();
    assert!(error.to_string().contains("too many redirections"), "{error}");
    let away =
        serve_paths(|_| "HTTP/1.1 308 P\r\nLocation: https://idp.example/login\r\n\r\n".into());
    let error = body(&format!("http://{away}/"), timeout).unwrap_err();
    assert_eq!(error.reason(), "redirect");
    assert!(error.to_string().contains("https://idp.example/login"), "{error}");
}

#[test]
fn an_endless_body_is_cut_off() {
    let head = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    let block = || vec![b'x'; 1 << 20];
    let pieces = std::iter::once(head).chain((0..20).map(|_| block())).collect();
    let error = body(&serve(pieces, Duration::ZERO), Duration::from_secs(20)).unwrap_err();
    assert_eq!(error, EngineError::TooLarge { max: ENGINE_BODY_BYTES_MAX });
}

#[test]
fn the_deadline_is_for_the_whole_answer() {
    let drip = vec![b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n".to_vec()];
    let drip = drip.into_iter().chain((0..50).map(|_| b"x".to_vec())).collect();
    let url = serve(drip, Duration::from_millis(50));
    let start = Instant::now();
    let timeout = Duration::from_millis(200);
    assert_eq!(body(&url, timeout), Err(EngineError::Timeout { timeout }));
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());

    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    assert_eq!(body(&url, timeout), Err(EngineError::Timeout { timeout }));
    drop(silent);
    let error = body(&url, timeout).unwrap_err();
    assert_eq!(error.reason(), "connect", "{error}");
}
