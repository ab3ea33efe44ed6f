//! axum-prometheus 0.10, unmodified, counts on this recorder.

use axum::{Router, body::Body, http::Request, routing::get};
use axum_prometheus::{GenericMetricLayer, MakeDefaultHandle};
use dynamo_metrics_facade::{Buckets, Builder, Handle, Matcher};
use http_body_util::BodyExt;
use tower::ServiceExt;

/// Makes the recorder that axum-prometheus counts on.
struct Dynamo;

impl MakeDefaultHandle for Dynamo {
    type Out = Handle;

    fn make_default_handle(self) -> Handle {
        let duration = axum_prometheus::AXUM_HTTP_REQUESTS_DURATION_SECONDS;
        Builder::new()
            .buckets_for(Matcher::Full(duration.into()), &Buckets::default())
            .install()
            .expect("this process has one recorder")
    }
}

#[tokio::test]
async fn its_requests_are_on_the_page() {
    let (layer, handle) = GenericMetricLayer::pair_from(Dynamo);
    let page = handle.clone();
    let app = Router::new()
        .route("/fast/{id}", get(async || "fast"))
        .route("/metrics", get(async move || page.render()))
        .layer(layer);
    for path in ["/fast/1", "/fast/2", "/nowhere"] {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        response.into_body().collect().await.unwrap();
    }
    let request = Request::get("/metrics").body(Body::empty()).unwrap();
    let body = app.oneshot(request).await.unwrap().into_body().collect().await.unwrap();
    let page = dynamo_metrics_parser::parse(&body.to_bytes()).unwrap();
    let fast = [("method", "GET"), ("endpoint", "/fast/{id}")];
    let ok = [&fast[..], &[("status", "200")]].concat();
    assert_eq!(page.value("axum_http_requests_total", &ok), Some(2.0));
    assert_eq!(page.value("axum_http_requests_duration_seconds_count", &ok), Some(2.0));
    assert_eq!(page.value("axum_http_requests_pending", &fast), Some(0.0));
    let lost = [("method", "GET"), ("endpoint", "/nowhere"), ("status", "404")];
    assert_eq!(page.value("axum_http_requests_total", &lost), Some(1.0));
    assert_eq!(handle.problems(), []);
}
