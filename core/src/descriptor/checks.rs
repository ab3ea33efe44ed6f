//! Checks of one registration that need no other metric: name, options, labels, unit.

use super::{INFO_SUFFIX, Kind, Opts};
use crate::error::RegisterError;
use crate::escaping::Escaping;
use crate::label::{
    check_label_name, check_metric_name, check_own_label, check_utf8_label_name,
    check_utf8_metric_name,
};

/// Checks everything but label values. `labels` are the names of all labels: the scope's, the constant ones, the others.
pub(super) fn check(opts: &Opts, kind: Kind, labels: &[&str]) -> Result<(), RegisterError> {
    check_name(opts, kind)?;
    check_options(opts, kind)?;
    check_labels(opts, labels)?;
    if let Some(own) = kind.own_label() {
        labels.iter().try_for_each(|label| check_own_label(&opts.name, own, label))?;
    }
    if kind == Kind::StateSet {
        check_state_label(&opts.name, labels)?;
    }
    opts.unit.as_deref().map_or(Ok(()), |unit| check_unit(&opts.name, kind, unit))
}

fn check_name(opts: &Opts, kind: Kind) -> Result<(), RegisterError> {
    let name = &opts.name;
    if opts.utf8_names { check_utf8_metric_name(name) } else { check_metric_name(name) }?;
    let suffix = match kind {
        Kind::Counter | Kind::FloatCounter | Kind::CounterCallback => "_total",
        Kind::Info => INFO_SUFFIX,
        _ => "",
    };
    if Escaping::ALL.iter().any(|scheme| scheme.metric_name(name) == suffix) {
        // OpenMetrics names the family without the suffix, and so does Python's parser of text.
        let reason = "it is nothing but the suffix of its type; put a name before that";
        return Err(RegisterError::InvalidName { name: name.clone(), reason });
    }
    Ok(())
}

fn check_options(opts: &Opts, kind: Kind) -> Result<(), RegisterError> {
    let has_no_unit = matches!(kind, Kind::Info | Kind::StateSet);
    let has_no_exemplars = !kind.accumulates() || kind == Kind::Summary;
    let what = if opts.unit.is_some() && has_no_unit {
        "a unit"
    } else if opts.exemplars && has_no_exemplars {
        "exemplars"
    } else {
        return Ok(());
    };
    Err(RegisterError::Unsupported { name: opts.name.clone(), kind: kind.named(), what })
}

/// Checks that each label name is valid, and that no two are equal, as they are or escaped.
fn check_labels(opts: &Opts, labels: &[&str]) -> Result<(), RegisterError> {
    let name = &opts.name;
    for (at, label) in labels.iter().enumerate() {
        let before = &labels[..at];
        if opts.utf8_names {
            check_utf8_label_name(name, label)?;
        } else {
            check_label_name(name, label)?;
        }
        if before.contains(label) {
            let (name, label) = (name.clone(), label.to_string());
            return Err(RegisterError::DuplicateLabel { name, label });
        }
        for scheme in Escaping::ALL {
            let escaped = scheme.label_name(label);
            if let Some(other) = before.iter().find(|other| scheme.label_name(other) == escaped) {
                return Err(RegisterError::EscapedLabels {
                    name: name.clone(),
                    label: label.to_string(),
                    other: other.to_string(),
                    scheme,
                    escaped: escaped.into_owned(),
                });
            }
        }
    }
    Ok(())
}

/// Checks that no label of a state set has its name, which is the label that holds the state.
fn check_state_label(name: &str, labels: &[&str]) -> Result<(), RegisterError> {
    for scheme in Escaping::ALL {
        let escaped = scheme.metric_name(name);
        if let Some(other) = labels.iter().find(|other| scheme.label_name(other) == escaped) {
            return Err(RegisterError::EscapedLabels {
                name: name.into(),
                label: name.into(),
                other: other.to_string(),
                scheme,
                escaped: escaped.into_owned(),
            });
        }
    }
    Ok(())
}

fn check_unit(name: &str, kind: Kind, unit: &str) -> Result<(), RegisterError> {
    // A UTF-8 name does not restrict the unit, and formats cannot quote units.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    if !unit.chars().all(is_plain) {
        return Err(RegisterError::InvalidUnit { name: name.into(), unit: unit.into() });
    }
    let is_suffix = kind.stem(name).strip_suffix(unit).is_some_and(|stem| stem.ends_with('_'));
    if unit.is_empty() || !is_suffix {
        return Err(RegisterError::Unit { name: name.into(), unit: unit.into() });
    }
    Ok(())
}
