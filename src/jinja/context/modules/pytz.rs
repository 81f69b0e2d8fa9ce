//! `modules.pytz`: time zones by name, from the tz database.

use minijinja::Value;

use super::datetime::{Zone, aware_with, expect_datetime, zone_value};
use crate::jinja::context::callable::{Answer, function, namespace, text};
use crate::jinja::language::{bind, list, type_error};

/// `modules.pytz`.
pub(super) fn module() -> Value {
    namespace("pytz", |name| match name {
        "utc" | "UTC" => Some(zone_value(Zone::utc())),
        "timezone" => Some(function("pytz.timezone", |_, args| {
            let [zone] = bind("pytz.timezone", args, ["zone"], 1)?;
            timezone(&text(zone.as_ref()).unwrap_or_default())
        })),
        "all_timezones" | "common_timezones" => Some(list(
            jiff::tz::db()
                .available()
                .map(|name| Value::from(name.as_str()))
                .collect(),
        )),
        "country_timezones" => None,
        _ => None,
    })
}

fn timezone(name: &str) -> Answer {
    Zone::named(name)
        .map(zone_value)
        .ok_or_else(|| type_error(format!("no time zone is named `{name}`")))
}

/// Methods of a zone that only pytz has: `localize` and `normalize`.
pub(super) fn method(zone: &Zone, name: &str) -> Option<Value> {
    let zone = zone.clone();
    match name {
        "localize" => Some(function("localize", move |_, args| {
            let [dt, _] = bind("localize", args, ["dt", "is_dst"], 1)?;
            let dt = expect_datetime("localize", &dt.unwrap_or_default())?;
            if dt.zone.is_some() {
                return Err(type_error("`localize` needs a datetime without a zone"));
            }
            Ok(aware_with(dt.civil, &zone))
        })),
        "normalize" => Some(function("normalize", move |_, args| {
            let [dt] = bind("normalize", args, ["dt"], 1)?;
            let dt = expect_datetime("normalize", &dt.unwrap_or_default())?;
            dt.to_zone(&zone)
        })),
        _ => None,
    }
}
