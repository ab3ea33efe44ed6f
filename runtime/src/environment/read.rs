//! The variables of both servers, and the errors and warnings about values that are not valid.

use super::values::{self, ORIGINS, PATH, TRUTH, host, origins, port, seconds, truth};
use super::{Environment, EnvironmentError, FrontendEnvironment, SystemEnvironment, Warning};
use crate::health::HealthStatus;
use crate::names::sanitize_metric_name;
use std::fmt::Display;

/// Read for both servers.
const CORS_ORIGINS: &str = "DYN_METRICS_CORS_ORIGINS";
/// Read for both servers.
const DETAILS: &str = "DYN_METRICS_DETAILS";

pub(super) fn read(
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<(Environment, Vec<Warning>), EnvironmentError> {
    let mut reader = Reader { lookup, warnings: Vec::new() };
    let environment = Environment { system: reader.system()?, frontend: reader.frontend()? };
    Ok((environment, reader.warnings))
}

/// Reads variables from a lookup, and gathers the warnings.
pub(super) struct Reader<L> {
    lookup: L,
    warnings: Vec<Warning>,
}

impl<L: Fn(&str) -> Option<String>> Reader<L> {
    fn system(&mut self) -> Result<SystemEnvironment, EnvironmentError> {
        if let Some(value) = self.get("DYN_SYSTEM_ENABLED") {
            let reason = "it is deprecated and has no effect";
            self.warn("DYN_SYSTEM_ENABLED", value, reason, "DYN_SYSTEM_PORT alone");
        }
        let mut system = SystemEnvironment::default();
        self.set(&mut system.port, "DYN_SYSTEM_PORT", "-1 for none, or 0 to 65535", |value| {
            if value == "-1" { Ok(None) } else { port(value).map(Some) }
        })?;
        self.set(&mut system.host, "DYN_SYSTEM_HOST", "an address or a host name", host)?;
        let metrics_path = "/metrics".to_string();
        self.path(&mut system.health_path, "DYN_SYSTEM_HEALTH_PATH", &[&metrics_path])?;
        // Health and live may share a path, since they share the answer.
        self.path(&mut system.live_path, "DYN_SYSTEM_LIVE_PATH", &[&metrics_path])?;
        self.set(
            &mut system.starting_health_status,
            "DYN_SYSTEM_STARTING_HEALTH_STATUS",
            "ready or notready",
            |value| match value {
                "ready" => Ok(HealthStatus::Ready),
                "notready" => Ok(HealthStatus::NotReady),
                _ => Err("not a health status".into()),
            },
        )?;
        self.set(
            &mut system.use_endpoint_health_status,
            "DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS",
            "a JSON list of endpoint names as [\"generate\"]",
            |value| serde_json::from_str(value).map_err(|error| error.to_string()),
        )?;
        let checks = &mut system.health_checks;
        self.set(&mut checks.enabled, "DYN_HEALTH_CHECK_ENABLED", TRUTH, truth)?;
        let expected = "seconds, above 0 and at most a day";
        self.set(&mut checks.wait_time, "DYN_CANARY_WAIT_TIME", expected, seconds)?;
        self.set(
            &mut checks.request_timeout,
            "DYN_HEALTH_CHECK_REQUEST_TIMEOUT",
            expected,
            seconds,
        )?;
        system.web_config_file = self.get("DYN_METRICS_WEB_CONFIG_FILE").map(Into::into);
        self.set(&mut system.probes_without_auth, "DYN_METRICS_PROBES_WITHOUT_AUTH", TRUTH, truth)?;
        self.set(&mut system.cors_origins, CORS_ORIGINS, ORIGINS, origins)?;
        self.set(&mut system.details, DETAILS, TRUTH, truth)?;
        Ok(system)
    }

    fn frontend(&mut self) -> Result<FrontendEnvironment, EnvironmentError> {
        let mut frontend = FrontendEnvironment::default();
        self.set(&mut frontend.http_port, "DYN_HTTP_PORT", "0 to 65535", port)?;
        let FrontendEnvironment { metrics_path, health_path, live_path, .. } = &mut frontend;
        // Each is checked against those before it; a default path that a page was moved from is free.
        self.path(metrics_path, "DYN_HTTP_SVC_METRICS_PATH", &[])?;
        self.path(health_path, "DYN_HTTP_SVC_HEALTH_PATH", &[metrics_path])?;
        self.path(live_path, "DYN_HTTP_SVC_LIVE_PATH", &[metrics_path, health_path])?;
        for (name, path) in [
            ("DYN_HTTP_SVC_METRICS_PATH", metrics_path),
            ("DYN_HTTP_SVC_HEALTH_PATH", health_path),
            ("DYN_HTTP_SVC_LIVE_PATH", live_path),
        ] {
            values::not_of_the_api(name, path)?;
        }
        self.prefix(&mut frontend.metrics_prefix);
        self.set(&mut frontend.cors_origins, CORS_ORIGINS, ORIGINS, origins)?;
        self.set(&mut frontend.details, DETAILS, TRUTH, truth)?;
        let native = &mut frontend.native_histograms;
        self.set(native, "DYN_METRICS_NATIVE_HISTOGRAMS", TRUTH, truth)?;
        let shown = &mut frontend.router_workers;
        self.set(shown, "DYN_METRICS_ROUTER_WORKERS", TRUTH, truth)?;
        let buckets = &mut frontend.buckets;
        self.bounds(&mut buckets.request_duration, "REQUEST_DURATION");
        self.bounds(&mut buckets.input_sequence, "INPUT_SEQUENCE");
        self.bounds(&mut buckets.output_sequence, "OUTPUT_SEQUENCE");
        self.bounds(&mut buckets.time_to_first_token, "TTFT");
        self.bounds(&mut buckets.inter_token_latency, "ITL");
        Ok(frontend)
    }

    /// The value, without the space around it; `None` if nothing is left.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        let value = (self.lookup)(name)?;
        let value = value.trim();
        (!value.is_empty()).then(|| value.into())
    }

    /// Puts the variable's value into `place`, if it is set.
    fn set<T>(
        &self,
        place: &mut T,
        name: &str,
        expected: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<(), EnvironmentError> {
        if let Some(value) = self.get(name) {
            *place = parse(&value).map_err(|reason| EnvironmentError {
                variable: name.into(),
                value,
                reason,
                expected,
            })?;
        }
        Ok(())
    }

    fn path(
        &self,
        place: &mut String,
        name: &str,
        taken: &[&String],
    ) -> Result<(), EnvironmentError> {
        self.set(place, name, PATH, values::path)?;
        // Also when it is the default, to which another page was moved.
        if taken.contains(&&*place) {
            let reason = "another page of the server has this path".into();
            let value = place.clone();
            return Err(EnvironmentError { variable: name.into(), value, reason, expected: PATH });
        }
        Ok(())
    }

    fn prefix(&mut self, place: &mut String) {
        let name = "DYN_METRICS_PREFIX";
        let Some(value) = self.get(name) else { return };
        match sanitize_metric_name(&value) {
            Ok(prefix) if prefix == value => *place = prefix,
            Ok(prefix) => {
                self.warn(name, value, "not the beginning of a metric name", &prefix);
                *place = prefix;
            }
            Err(error) => self.warn(name, value, error, &*place),
        }
    }

    pub(super) fn warn(
        &mut self,
        variable: &str,
        value: String,
        reason: impl Display,
        used: impl Display,
    ) {
        self.warnings.push(Warning {
            variable: variable.into(),
            value,
            reason: reason.to_string(),
            used: used.to_string(),
        });
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::VARIABLES;
    use super::*;
    use std::cell::RefCell;
    use std::collections::BTreeSet;
    use std::time::Duration;

    type Result = std::result::Result<(Environment, Vec<Warning>), EnvironmentError>;

    pub(crate) fn with(variables: &[(&str, &str)]) -> Result {
        read(|name| Some(variables.iter().find(|(known, _)| *known == name)?.1.into()))
    }

    #[test]
    fn every_variable_that_is_read_is_listed_and_the_other_way_round() {
        let asked = RefCell::new(BTreeSet::new());
        let (environment, warnings) = read(|name| {
            asked.borrow_mut().insert(name.to_string());
            None
        })
        .unwrap();
        assert_eq!(warnings, []);
        assert_eq!(environment.system, SystemEnvironment::default());
        assert_eq!(environment.frontend, FrontendEnvironment::default());
        let listed: BTreeSet<String> = VARIABLES.iter().map(|v| v.name.to_string()).collect();
        assert_eq!(asked.into_inner(), listed);
        assert_eq!(VARIABLES.len(), listed.len());
    }

    #[test]
    fn the_listed_defaults_are_the_defaults() {
        let default = |name: &str| {
            let variable = VARIABLES.iter().find(|variable| variable.name == name)?;
            Some(variable.default.to_string())
        };
        let (environment, warnings) = read(default).unwrap();
        assert_eq!(warnings, []);
        assert_eq!(environment.system, SystemEnvironment::default());
        assert_eq!(environment.frontend, FrontendEnvironment::default());
    }

    #[test]
    fn ports_up_to_65535_work_and_anything_else_is_an_error() {
        for (value, port) in
            [("-1", None), ("0", Some(0)), ("8081", Some(8081)), (" 65535 ", Some(65535))]
        {
            assert_eq!(with(&[("DYN_SYSTEM_PORT", value)]).unwrap().0.system.port, port);
        }
        for name in ["DYN_SYSTEM_PORT", "DYN_HTTP_PORT"] {
            for value in ["65536", "-2", "80a", "8081.0", "\u{fffd}"] {
                let error = with(&[(name, value)]).unwrap_err();
                assert_eq!((error.variable.as_str(), error.value.as_str()), (name, value));
                assert!(error.to_string().contains("65535"), "{error}");
            }
        }
        assert!(with(&[("DYN_HTTP_PORT", "-1")]).is_err());
    }

    #[test]
    fn empty_is_unset() {
        for variable in VARIABLES {
            for value in ["", " "] {
                let (environment, warnings) = with(&[(variable.name, value)]).unwrap();
                assert_eq!(environment.frontend, FrontendEnvironment::default());
                assert_eq!((environment.system.port, warnings.len()), (None, 0));
            }
        }
    }

    #[test]
    fn paths_are_absolute_and_do_not_meet() {
        let moved = [
            ("DYN_HTTP_SVC_METRICS_PATH", "/health"),
            ("DYN_HTTP_SVC_HEALTH_PATH", "/healthz"),
            ("DYN_SYSTEM_HEALTH_PATH", "/probe"),
            ("DYN_SYSTEM_LIVE_PATH", "/probe"),
        ];
        let environment = with(&moved).unwrap().0;
        assert_eq!(environment.frontend.metrics_path, "/health");
        let odd = with(&[("DYN_HTTP_SVC_LIVE_PATH", "/:x"), ("DYN_HTTP_SVC_HEALTH_PATH", "/v1x")]);
        assert_eq!(odd.unwrap().0.frontend.live_path, "/:x");
        assert_eq!(environment.system.live_path, "/probe");
        for (name, value) in [
            ("DYN_SYSTEM_HEALTH_PATH", "health"),
            ("DYN_SYSTEM_HEALTH_PATH", "/he alth"),
            ("DYN_SYSTEM_LIVE_PATH", "/live?x"),
            ("DYN_SYSTEM_LIVE_PATH", "/metrics"),
            ("DYN_HTTP_SVC_LIVE_PATH", "/health"),
            ("DYN_HTTP_SVC_LIVE_PATH", "/liveé"),
            ("DYN_HTTP_SVC_LIVE_PATH", "/.."),
            ("DYN_SYSTEM_LIVE_PATH", "/a/./live"),
            ("DYN_HTTP_SVC_HEALTH_PATH", "/v1/models"),
            ("DYN_HTTP_SVC_METRICS_PATH", "/v1/models"),
            ("DYN_HTTP_SVC_LIVE_PATH", "/internal"),
        ] {
            let error = with(&[(name, value)]).unwrap_err();
            assert_eq!((error.variable.as_str(), error.value.as_str()), (name, value));
        }
        let error = with(&[("DYN_HTTP_SVC_METRICS_PATH", "/live")]).unwrap_err();
        assert_eq!(error.variable, "DYN_HTTP_SVC_LIVE_PATH", "the default is taken");
    }

    #[test]
    fn health_and_host() {
        let (environment, warnings) = with(&[
            ("DYN_SYSTEM_STARTING_HEALTH_STATUS", "ready"),
            ("DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS", r#"["generate", "gen.erate"]"#),
            ("DYN_SYSTEM_HOST", "::1"),
            ("DYN_SYSTEM_ENABLED", "true"),
            ("DYN_METRICS_WEB_CONFIG_FILE", "/etc/web.yml"),
            ("DYN_METRICS_PROBES_WITHOUT_AUTH", "true"),
            ("DYN_METRICS_CORS_ORIGINS", "https://a.example, http://b.example:3000"),
        ])
        .unwrap();
        assert_eq!(environment.system.web_config_file, Some("/etc/web.yml".into()));
        assert!(environment.system.probes_without_auth);
        assert!(!environment.system.cors_origins.is_empty());
        assert_eq!(environment.system.cors_origins, environment.frontend.cors_origins);
        assert_eq!(environment.system.starting_health_status, HealthStatus::Ready);
        assert_eq!(environment.system.use_endpoint_health_status, ["generate", "gen.erate"]);
        assert_eq!(environment.system.host, "::1");
        assert_eq!(warnings[0].variable, "DYN_SYSTEM_ENABLED");
        for (name, value) in [
            ("DYN_SYSTEM_STARTING_HEALTH_STATUS", "healthy"),
            ("DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS", "generate"),
            ("DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS", "[1]"),
            ("DYN_SYSTEM_HOST", "a b"),
            ("DYN_METRICS_PROBES_WITHOUT_AUTH", "maybe"),
            ("DYN_METRICS_CORS_ORIGINS", "a.example"),
        ] {
            assert_eq!(with(&[(name, value)]).unwrap_err().variable, name);
        }
    }

    #[test]
    fn health_checks_are_off_until_asked_for_and_their_times_are_seconds() {
        let checks =
            |variables: &[(&str, &str)]| with(variables).map(|(e, _)| e.system.health_checks);
        let asked = checks(&[
            ("DYN_HEALTH_CHECK_ENABLED", "True"),
            ("DYN_CANARY_WAIT_TIME", "1"),
            ("DYN_HEALTH_CHECK_REQUEST_TIMEOUT", "0.5"),
        ])
        .unwrap();
        assert!(asked.enabled && !checks(&[]).unwrap().enabled);
        assert_eq!(asked.wait_time, Duration::from_secs(1));
        assert_eq!(asked.request_timeout, Duration::from_millis(500));
        for (name, value) in [
            ("DYN_HEALTH_CHECK_ENABLED", "maybe"),
            ("DYN_CANARY_WAIT_TIME", "0"),
            ("DYN_CANARY_WAIT_TIME", "soon"),
            ("DYN_CANARY_WAIT_TIME", "1e6"),
            ("DYN_HEALTH_CHECK_REQUEST_TIMEOUT", "-1"),
            ("DYN_HEALTH_CHECK_REQUEST_TIMEOUT", "NaN"),
        ] {
            assert_eq!(checks(&[(name, value)]).unwrap_err().variable, name, "{value}");
        }
    }

    #[test]
    fn a_prefix_is_made_valid_or_ignored() {
        for (value, prefix, warned) in [
            ("my_llm", "my_llm", false),
            ("my-llm.v2", "my_llm_v2", true),
            ("9x", "_9x", true),
            ("--", "dynamo_frontend", true),
        ] {
            let (environment, warnings) = with(&[("DYN_METRICS_PREFIX", value)]).unwrap();
            assert_eq!(environment.frontend.metrics_prefix, prefix);
            assert_eq!(warnings.len(), usize::from(warned));
            assert!(warnings.iter().all(|w| w.used == prefix && w.value == value), "{warnings:?}");
        }
    }
}
