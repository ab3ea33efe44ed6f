//! Options that several commands share.

use crate::engine_metrics;
use clap::builder::NonEmptyStringValueParser;
use clap::{ArgAction, Args};
use dynamo_metrics::environment::SystemEnvironment;
use dynamo_metrics::{DistributedRuntime, Environment, dashboard_pages};
use dynamo_metrics_server::{CorsOrigins, LandingPage, RunningServer, ServerBuilder, StaticPage};
use dynamo_metrics_sim::engine::EngineConfig;
use dynamo_metrics_sim::worker::WorkerOptions;
use dynamo_metrics_sim::{Failure, process_metrics};
use std::path::PathBuf;

/// The models of a simulated worker, and its speed.
#[derive(Args, Clone, Debug)]
pub(crate) struct ModelOptions {
    /// Names under which the worker serves its model; may be repeated.
    #[arg(long = "model", default_value = "Qwen/Qwen3-0.6B", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) models: Vec<String>,
    /// Sequences that run at once.
    #[arg(long, default_value_t = EngineConfig::default().slots)]
    pub(crate) max_num_seqs: u64,
    /// Requests that wait for one of these; more are turned away with 429.
    #[arg(long, default_value_t = EngineConfig::default().waiting)]
    pub(crate) max_waiting: u64,
    /// Tokens that one step works on: one of each running sequence, the rest of a prompt. A longer prompt waits for the next steps.
    #[arg(long, default_value_t = EngineConfig::default().batched_tokens)]
    pub(crate) max_num_batched_tokens: u64,
    /// Milliseconds from token to token.
    #[arg(long, default_value_t = 20.0, value_parser = parse_time)]
    pub(crate) token_time_ms: f64,
    /// Milliseconds that each prefill takes before its first token of input.
    #[arg(long, default_value_t = 30.0, value_parser = parse_time)]
    pub(crate) prefill_base_ms: f64,
    /// Milliseconds that each input token takes that is not cached.
    #[arg(long, default_value_t = 0.02, value_parser = parse_time)]
    pub(crate) prefill_token_ms: f64,
    /// Blocks of the KV cache.
    #[arg(long, default_value_t = EngineConfig::default().kv_blocks)]
    pub(crate) kv_blocks: u64,
    /// Tokens of a block.
    #[arg(long, default_value_t = EngineConfig::default().block_size)]
    pub(crate) block_size: u64,
    /// Never reuse blocks of earlier prompts.
    #[arg(long)]
    pub(crate) no_enable_prefix_caching: bool,
    /// Longest prompt and answer together, in tokens.
    #[arg(long, default_value_t = 40_960, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) context_length: u64,
    /// Number of times that a request may move to another worker when its own dies.
    #[arg(long, default_value_t = 3)]
    pub(crate) migration_limit: u64,
}

impl ModelOptions {
    /// Settings of a worker in this place.
    pub(crate) fn worker(&self, place: &PlaceOptions) -> Result<WorkerOptions, Failure> {
        Ok(WorkerOptions {
            namespace: place.namespace.clone(),
            component: place.component.clone(),
            models: self.models.clone(),
            engine: self.engine(),
            context_length: self.context_length,
            migration_limit: self.migration_limit,
            engine_metrics: engine_metrics::parse(&place.engine_metrics)?,
            label_engine_metrics: place.label_engine_metrics,
            system_url: None,
        })
    }

    fn engine(&self) -> EngineConfig {
        EngineConfig {
            slots: self.max_num_seqs,
            batched_tokens: self.max_num_batched_tokens,
            prefill_base_ns: nanoseconds(self.prefill_base_ms),
            prefill_token_ns: nanoseconds(self.prefill_token_ms),
            token_time_ns: nanoseconds(self.token_time_ms),
            kv_blocks: self.kv_blocks,
            block_size: self.block_size,
            prefix_caching: !self.no_enable_prefix_caching,
            waiting: self.max_waiting,
            ..EngineConfig::default()
        }
    }
}

/// Reads a time, 0 or more, in the unit of the option.
pub(crate) fn parse_time(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(time) if time >= 0.0 && time.is_finite() => Ok(time),
        _ => Err("a time is a number from 0, as 20 or 0.5".into()),
    }
}

/// Converts to nanoseconds. Saturates; the engine refuses times that are out of bounds.
fn nanoseconds(milliseconds: f64) -> u64 {
    (milliseconds * 1e6).round() as u64
}

/// Protection and pages of the system server.
#[derive(Args, Clone, Debug)]
pub(crate) struct WebOptions {
    /// Web configuration of the system port, as Prometheus' exporters have it: TLS, passwords, headers, a rate
    /// limit. DYN_METRICS_WEB_CONFIG_FILE unless given. It does not cover the port of the OpenAI API.
    #[arg(long, value_name = "FILE")]
    web_config_file: Option<PathBuf>,
    /// Whether `/` of the system port is a page that links to the others, as Prometheus' exporters have it; `false`
    /// makes it 404, as Dynamo has it. True unless given.
    #[arg(
        long,
        value_name = "BOOL",
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    landing_page: Option<bool>,
    /// Whether `/dashboard`, of the system port and of the frontend's, is a live page of the metrics for a browser.
    #[arg(
        long,
        value_name = "BOOL",
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_value_t = true,
        default_missing_value = "true"
    )]
    dashboard: bool,
    /// An origin whose pages may read metrics, probes and pages of both ports in a browser, as https://grafana.example; may
    /// be repeated, or list some with commas; `*` stands for all. In place of DYN_METRICS_CORS_ORIGINS.
    #[arg(long = "cors-origin", value_name = "ORIGIN")]
    cors_origins: Vec<CorsOrigins>,
    /// Serves the system port's pages on a Unix socket too, which only this user may open.
    #[cfg(unix)]
    #[arg(long, value_name = "PATH")]
    system_unix_socket: Option<PathBuf>,
}

impl WebOptions {
    /// Puts the options that were given over the settings of the environment.
    pub(crate) fn apply(&self, environment: &mut Environment) {
        let Environment { system, frontend, .. } = environment;
        if let Some(file) = &self.web_config_file {
            system.web_config_file = Some(file.clone());
        }
        if !self.cors_origins.is_empty() {
            let mut origins = CorsOrigins::default();
            self.cors_origins.iter().for_each(|some| origins.extend(some.clone()));
            (system.cors_origins, frontend.cors_origins) = (origins.clone(), origins);
        }
    }

    /// The first of these options that was given.
    fn given(&self) -> Option<&'static str> {
        #[cfg(unix)]
        if self.system_unix_socket.is_some() {
            return Some("--system-unix-socket");
        }
        if self.web_config_file.is_some() {
            return Some("--web-config-file");
        }
        self.landing_page.map(|_| "--landing-page")
    }

    /// The pages beside metrics that are at `metrics_path`.
    pub(crate) fn pages(&self, metrics_path: &str) -> Vec<StaticPage> {
        if self.dashboard { dashboard_pages(metrics_path) } else { Vec::new() }
    }

    /// Returns whether there is a live page.
    pub(crate) fn has_dashboard(&self) -> bool {
        self.dashboard
    }

    /// Starts the system server, if the environment has one, for a process in this role.
    pub(crate) fn start(
        &self,
        runtime: &DistributedRuntime,
        system: &SystemEnvironment,
        role: &str,
    ) -> Result<Option<RunningServer>, Failure> {
        let Some(mut server) = runtime.system_server_builder(system)? else {
            return match self.given() {
                None => Ok(None),
                Some(option) => Err(format!(
                    "{option} is about the system port, which is off; set DYN_SYSTEM_PORT (0 takes any free port)"
                )
                .into()),
            };
        };
        process_metrics(runtime.exporter())?;
        if self.landing_page.unwrap_or(true) {
            let page = LandingPage::new(format!("Dynamo {role}"), env!("CARGO_PKG_VERSION"));
            server = server.landing_page(page);
        }
        // The system port's metrics are at a path that no setting changes.
        server = self.pages("/metrics").into_iter().fold(server, ServerBuilder::page);
        #[cfg(unix)]
        if let Some(path) = &self.system_unix_socket {
            server = server.unix_socket(path);
        }
        #[cfg(feature = "zstd")]
        {
            server = server.compression(dynamo_metrics_server::Compression::default().with_zstd());
        }
        Ok(Some(server.spawn()?))
    }
}

/// The place of a worker in the hierarchy.
#[derive(Args, Clone, Debug)]
pub(crate) struct PlaceOptions {
    /// The namespace.
    #[arg(long, env = "DYN_NAMESPACE", default_value = "dynamo")]
    pub(crate) namespace: String,
    /// The component.
    #[arg(long, default_value = "backend")]
    pub(crate) component: String,
    /// Passes an engine's own metrics through on the system port: `KIND=URL`, where KIND is `vllm`, `sglang`, `trtllm`,
    /// `lmcache` (which choose what passes) or any other (everything passes); may be repeated. Engines of one kind, as
    /// data-parallel ranks, are told apart by the label engine_source: `vllm-0`, `vllm-1`, or the NAME of `KIND@NAME=URL`.
    #[arg(long = "engine-metrics", value_name = "KIND[@NAME]=URL")]
    pub(crate) engine_metrics: Vec<String>,
    /// Adds the worker's labels (dynamo_namespace, dynamo_component, worker_id, and model if it serves one) to what its
    /// engines' own metrics have, as Dynamo does after 0.9.0. A label that they have already stays as it is.
    #[arg(long)]
    pub(crate) label_engine_metrics: bool,
}
