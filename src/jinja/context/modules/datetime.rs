//! `modules.datetime`: dates, times, moments, durations and zones.

use std::fmt;
use std::sync::Arc;

use jiff::Zoned;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};
use minijinja::value::{DynObject, Object, ObjectRepr};
use minijinja::{Error, ErrorKind, State, Value};

use super::format::{epoch_seconds, offset_text, strftime, strptime, weekday};
use crate::jinja::context::callable::{Answer, class, function, given, namespace, text};
use crate::jinja::language::{bind, tuple, type_error};

/// A zone: by name, or a fixed offset.
#[derive(Clone)]
pub(super) struct Zone {
    zone: TimeZone,
    name: Option<Arc<str>>,
}

impl Zone {
    pub fn utc() -> Zone {
        Zone {
            zone: TimeZone::UTC,
            name: Some("UTC".into()),
        }
    }

    pub fn named(name: &str) -> Option<Zone> {
        if name.eq_ignore_ascii_case("UTC") {
            return Some(Zone::utc());
        }
        let zone = TimeZone::get(name).ok()?;
        let name = zone.iana_name().unwrap_or(name).into();
        Some(Zone {
            zone,
            name: Some(name),
        })
    }

    fn fixed(seconds: i32) -> Option<Zone> {
        if seconds == 0 {
            return Some(Zone::utc());
        }
        Some(Zone {
            zone: TimeZone::fixed(Offset::from_seconds(seconds).ok()?),
            name: None,
        })
    }

    fn text(&self) -> String {
        match (&self.name, self.zone.to_fixed_offset()) {
            (Some(name), _) => name.to_string(),
            (None, Ok(offset)) => format!("UTC{}", offset_text(offset.seconds(), ":")),
            (None, Err(_)) => "UTC".to_owned(),
        }
    }
}

/// A date and a time, perhaps in a zone.
#[derive(Clone)]
pub(super) struct Moment {
    pub civil: DateTime,
    pub zone: Option<Zone>,
}

struct Day(Date);
struct Clock(Time);

/// A duration in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Delta(i128);

const SECOND: i128 = 1_000_000;
const DAY: i128 = 86_400 * SECOND;

/// A moment without a zone.
pub(in crate::jinja::context) fn naive(civil: DateTime) -> Value {
    Value::from_object(Moment { civil, zone: None })
}

/// A moment in its zone.
pub(in crate::jinja::context) fn aware(zoned: &Zoned) -> Value {
    let zone = Zone {
        zone: zoned.time_zone().clone(),
        name: zoned.time_zone().iana_name().map(Into::into),
    };
    Value::from_object(Moment {
        civil: zoned.datetime(),
        zone: Some(zone),
    })
}

/// A date.
pub(in crate::jinja::context) fn date_value(date: Date) -> Value {
    Value::from_object(Day(date))
}

/// A time of day.
pub(in crate::jinja::context) fn time_value(time: Time) -> Value {
    Value::from_object(Clock(time))
}

pub(super) fn zone_value(zone: Zone) -> Value {
    Value::from_object(zone)
}

/// A moment whose clock shows this in a zone.
pub(super) fn aware_with(civil: DateTime, zone: &Zone) -> Value {
    Value::from_object(Moment {
        civil,
        zone: Some(zone.clone()),
    })
}

pub(super) fn expect_datetime(name: &str, value: &Value) -> Result<Moment, Error> {
    value
        .downcast_object_ref::<Moment>()
        .cloned()
        .ok_or_else(|| type_error(format!("`{name}` needs a datetime")))
}

fn out_of_range<E>(_: E) -> Error {
    type_error("the date is out of range")
}

fn unknown_method() -> Error {
    Error::from(ErrorKind::UnknownMethod)
}

/// `modules.datetime`.
pub(in crate::jinja::context) fn module() -> Value {
    namespace("datetime", |name| {
        let value = match name {
            "datetime" => class("datetime.datetime", datetime_class, |_, args| {
                make_datetime(args)
            }),
            "date" => class("datetime.date", date_class, |_, args| make_date(args)),
            "time" => class("datetime.time", time_class, |_, args| make_time(args)),
            "timedelta" => class("datetime.timedelta", delta_class, |_, args| {
                make_delta(args)
            }),
            "timezone" => class(
                "datetime.timezone",
                |name| (name == "utc").then(|| zone_value(Zone::utc())),
                |_, args| {
                    let [offset, _] = bind("timezone", args, ["offset", "name"], 1)?;
                    let offset = offset.as_ref().and_then(delta_of);
                    offset
                        .and_then(|Delta(micros)| Zone::fixed(i32::try_from(micros / SECOND).ok()?))
                        .map(zone_value)
                        .ok_or_else(|| {
                            type_error("`timezone` needs a timedelta of less than a day")
                        })
                },
            ),
            "UTC" => zone_value(Zone::utc()),
            "MINYEAR" => Value::from(1),
            "MAXYEAR" => Value::from(9999),
            _ => return None,
        };
        Some(value)
    })
}

fn delta_of(value: &Value) -> Option<Delta> {
    value.downcast_object_ref::<Delta>().copied()
}

fn zone_of(value: &Option<Value>) -> Result<Option<Zone>, Error> {
    given(value)
        .map(|value| {
            value
                .downcast_object_ref::<Zone>()
                .cloned()
                .ok_or_else(|| type_error("a time zone is needed: `modules.pytz.timezone('..')`"))
        })
        .transpose()
}

fn integer(value: &Option<Value>, default: i64) -> Result<i64, Error> {
    match given(value) {
        Some(value) if value.is_integer() => value
            .as_i64()
            .ok_or_else(|| type_error("the number is too large")),
        Some(_) => Err(type_error("a whole number is needed")),
        None => Ok(default),
    }
}

fn small<T: TryFrom<i64>>(value: i64) -> Result<T, Error> {
    T::try_from(value).map_err(out_of_range)
}

fn date(year: i64, month: i64, day: i64) -> Result<Date, Error> {
    Date::new(small(year)?, small(month)?, small(day)?).map_err(out_of_range)
}

fn time(hour: i64, minute: i64, second: i64, micros: i64) -> Result<Time, Error> {
    let nanos = micros.checked_mul(1000).ok_or_else(|| out_of_range(()))?;
    Time::new(small(hour)?, small(minute)?, small(second)?, small(nanos)?).map_err(out_of_range)
}

fn make_datetime(args: &[Value]) -> Answer {
    let [year, month, day, hour, minute, second, micros, zone] = bind(
        "datetime",
        args,
        [
            "year",
            "month",
            "day",
            "hour",
            "minute",
            "second",
            "microsecond",
            "tzinfo",
        ],
        3,
    )?;
    let date = date(integer(&year, 0)?, integer(&month, 0)?, integer(&day, 0)?)?;
    let time = time(
        integer(&hour, 0)?,
        integer(&minute, 0)?,
        integer(&second, 0)?,
        integer(&micros, 0)?,
    )?;
    Ok(Value::from_object(Moment {
        civil: date.to_datetime(time),
        zone: zone_of(&zone)?,
    }))
}

fn make_date(args: &[Value]) -> Answer {
    let [year, month, day] = bind("date", args, ["year", "month", "day"], 3)?;
    Ok(date_value(date(
        integer(&year, 0)?,
        integer(&month, 0)?,
        integer(&day, 0)?,
    )?))
}

fn make_time(args: &[Value]) -> Answer {
    let [hour, minute, second, micros] =
        bind("time", args, ["hour", "minute", "second", "microsecond"], 0)?;
    Ok(time_value(time(
        integer(&hour, 0)?,
        integer(&minute, 0)?,
        integer(&second, 0)?,
        integer(&micros, 0)?,
    )?))
}

fn make_delta(args: &[Value]) -> Answer {
    let parts = bind(
        "timedelta",
        args,
        [
            "days",
            "seconds",
            "microseconds",
            "milliseconds",
            "minutes",
            "hours",
            "weeks",
        ],
        0,
    )?;
    let units = [DAY, SECOND, 1, 1000, 60 * SECOND, 3600 * SECOND, 7 * DAY];
    let mut micros = 0i128;
    for (part, unit) in parts.iter().zip(units) {
        let Some(part) = given(part) else { continue };
        micros += match part.as_i64() {
            Some(whole) if part.is_integer() => i128::from(whole) * unit,
            _ => {
                let number = f64::try_from(part.clone())
                    .map_err(|_| type_error("`timedelta` needs numbers"))?;
                (number * unit as f64).round() as i128
            }
        };
    }
    Ok(Value::from_object(Delta(micros)))
}

fn now_in(zone: Option<Zone>) -> Value {
    let now = jiff::Timestamp::now();
    // Python's clock counts microseconds.
    let now = now.round(jiff::Unit::Microsecond).unwrap_or(now);
    match zone {
        Some(zone) => aware_with(now.to_zoned(zone.zone.clone()).datetime(), &zone),
        None => naive(now.to_zoned(TimeZone::system()).datetime()),
    }
}

fn datetime_class(name: &str) -> Option<Value> {
    let value = match name {
        "now" => function("datetime.now", |_, args| {
            let [zone] = bind("datetime.now", args, ["tz"], 0)?;
            Ok(now_in(zone_of(&zone)?))
        }),
        "today" => function("datetime.today", |_, _| Ok(now_in(None))),
        "utcnow" => function("datetime.utcnow", |_, _| {
            let now = now_in(Some(Zone::utc()));
            expect_datetime("utcnow", &now).map(|moment| naive(moment.civil))
        }),
        "strptime" => function("datetime.strptime", |_, args| {
            let [string, format] = bind("datetime.strptime", args, ["date_string", "format"], 2)?;
            let string = text(string.as_ref()).unwrap_or_default();
            let parsed = strptime(&string, &text(format.as_ref()).unwrap_or_default())
                .map_err(type_error)?;
            Ok(Value::from_object(Moment {
                civil: parsed.at,
                zone: parsed.offset.and_then(Zone::fixed),
            }))
        }),
        "fromisoformat" => function("datetime.fromisoformat", |_, args| {
            let [string] = bind("datetime.fromisoformat", args, ["date_string"], 1)?;
            from_iso(&text(string.as_ref()).unwrap_or_default())
        }),
        "fromtimestamp" | "utcfromtimestamp" => {
            let utc = name == "utcfromtimestamp";
            function("datetime.fromtimestamp", move |_, args| {
                let [stamp, zone] = bind("datetime.fromtimestamp", args, ["timestamp", "tz"], 1)?;
                let stamp = f64::try_from(stamp.unwrap_or_default())
                    .map_err(|_| type_error("`fromtimestamp` needs a number"))?;
                let micros = (stamp * 1e6).round() as i64;
                let instant = jiff::Timestamp::from_microsecond(micros).map_err(out_of_range)?;
                let local = |zone: TimeZone| instant.to_zoned(zone).datetime();
                Ok(match (zone_of(&zone)?, utc) {
                    (Some(zone), _) => aware_with(local(zone.zone.clone()), &zone),
                    (None, true) => naive(local(TimeZone::UTC)),
                    (None, false) => naive(local(TimeZone::system())),
                })
            })
        }
        "combine" => function("datetime.combine", |_, args| {
            let [date, time, zone] = bind("datetime.combine", args, ["date", "time", "tzinfo"], 2)?;
            let (Some(date), Some(time)) = (
                date.as_ref().and_then(as_date),
                time.as_ref()
                    .and_then(|time| time.downcast_object_ref::<Clock>()),
            ) else {
                return Err(type_error("`combine` needs a date and a time"));
            };
            Ok(Value::from_object(Moment {
                civil: date.to_datetime(time.0),
                zone: zone_of(&zone)?,
            }))
        }),
        "min" => naive(DateTime::constant(1, 1, 1, 0, 0, 0, 0)),
        "max" => naive(DateTime::constant(9999, 12, 31, 23, 59, 59, 999_999_000)),
        _ => return None,
    };
    Some(value)
}

fn from_iso(text: &str) -> Answer {
    let wrong = |_| type_error(format!("Invalid isoformat string: '{text}'"));
    let (head, offset) = match text
        .char_indices()
        .skip(11)
        .find(|(_, c)| "+-Zz".contains(*c))
    {
        Some((at, _)) => (&text[..at], Some(&text[at..])),
        None => (text, None),
    };
    let civil: DateTime = match head.len() {
        10 => head
            .parse::<Date>()
            .map_err(wrong)?
            .to_datetime(Time::midnight()),
        _ => head.parse().map_err(wrong)?,
    };
    let zone = match offset {
        Some(offset) => strptime(offset, "%z")
            .map_err(type_error)?
            .offset
            .and_then(Zone::fixed),
        None => None,
    };
    Ok(Value::from_object(Moment { civil, zone }))
}

fn date_class(name: &str) -> Option<Value> {
    let value = match name {
        "today" => function("date.today", |_, _| Ok(date_value(Zoned::now().date()))),
        "fromisoformat" => function("date.fromisoformat", |_, args| {
            let [string] = bind("date.fromisoformat", args, ["date_string"], 1)?;
            let string = text(string.as_ref()).unwrap_or_default();
            string
                .parse::<Date>()
                .map(date_value)
                .map_err(|_| type_error(format!("Invalid isoformat string: '{string}'")))
        }),
        "fromordinal" => function("date.fromordinal", |_, args| {
            let [ordinal] = bind("date.fromordinal", args, ["ordinal"], 1)?;
            let days = integer(&ordinal, 1)? - 1;
            add_days(Date::constant(1, 1, 1), i128::from(days)).map(date_value)
        }),
        "min" => date_value(Date::constant(1, 1, 1)),
        "max" => date_value(Date::constant(9999, 12, 31)),
        _ => return None,
    };
    Some(value)
}

fn time_class(name: &str) -> Option<Value> {
    match name {
        "fromisoformat" => Some(function("time.fromisoformat", |_, args| {
            let [string] = bind("time.fromisoformat", args, ["time_string"], 1)?;
            let string = text(string.as_ref()).unwrap_or_default();
            string
                .parse::<Time>()
                .map(time_value)
                .map_err(|_| type_error(format!("Invalid isoformat string: '{string}'")))
        })),
        "min" => Some(time_value(Time::midnight())),
        "max" => Some(time_value(Time::constant(23, 59, 59, 999_999_000))),
        _ => None,
    }
}

fn delta_class(name: &str) -> Option<Value> {
    (name == "resolution").then(|| Value::from_object(Delta(1)))
}

fn as_date(value: &Value) -> Option<Date> {
    value
        .downcast_object_ref::<Day>()
        .map(|day| day.0)
        .or_else(|| {
            value
                .downcast_object_ref::<Moment>()
                .map(|moment| moment.civil.date())
        })
}

fn add_days(date: Date, days: i128) -> Result<Date, Error> {
    let days = i64::try_from(days).map_err(out_of_range)?;
    let span = jiff::Span::new().try_days(days).map_err(out_of_range)?;
    date.checked_add(span).map_err(out_of_range)
}

fn micros_of(time: Time) -> i128 {
    let seconds =
        i128::from(time.hour()) * 3600 + i128::from(time.minute()) * 60 + i128::from(time.second());
    seconds * SECOND + i128::from(time.subsec_nanosecond()) / 1000
}

fn add_micros(at: DateTime, micros: i128) -> Result<DateTime, Error> {
    let total = micros_of(at.time()) + micros;
    let date = add_days(at.date(), total.div_euclid(DAY))?;
    let rest = total.rem_euclid(DAY);
    let seconds = i64::try_from(rest / SECOND).map_err(out_of_range)?;
    let micros = i64::try_from(rest % SECOND).map_err(out_of_range)?;
    Ok(date.to_datetime(time(
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        micros,
    )?))
}

fn days_between(from: Date, to: Date) -> i128 {
    let day = |date: Date| i128::from(epoch_seconds(date.to_datetime(Time::midnight()))) / 86_400;
    day(to) - day(from)
}

impl Moment {
    fn offset(&self) -> Option<i32> {
        let zone = self.zone.as_ref()?;
        let zoned = zone.zone.to_zoned(self.civil).ok()?;
        Some(zoned.offset().seconds())
    }

    fn abbreviation(&self) -> Option<String> {
        let zone = self.zone.as_ref()?;
        if zone.name.is_none() {
            return Some(zone.text());
        }
        let zoned = zone.zone.to_zoned(self.civil).ok()?;
        Some(
            zone.zone
                .to_offset_info(zoned.timestamp())
                .abbreviation()
                .to_owned(),
        )
    }

    /// Microseconds since 1970; a moment without a zone is taken as it stands.
    fn micros(&self) -> i128 {
        let seconds =
            i128::from(epoch_seconds(self.civil)) - i128::from(self.offset().unwrap_or(0));
        seconds * SECOND + i128::from(self.civil.subsec_nanosecond()) / 1000
    }

    pub fn to_zone(&self, zone: &Zone) -> Answer {
        let own = match &self.zone {
            Some(own) => own.zone.clone(),
            None => TimeZone::system(),
        };
        let zoned = own.to_zoned(self.civil).map_err(out_of_range)?;
        Ok(aware_with(
            zoned.with_time_zone(zone.zone.clone()).datetime(),
            zone,
        ))
    }

    fn iso(&self, separator: &str, precision: &str) -> Result<String, Error> {
        let mut out = strftime(self.civil, None, "%Y-%m-%d");
        out.push_str(separator);
        out.push_str(&iso_time(self.civil.time(), precision)?);
        if let Some(offset) = self.offset() {
            out.push_str(&offset_text(offset, ":"));
        }
        Ok(pad_year(&out, self.civil.year()))
    }

    fn format(&self, format: &str) -> String {
        let name = self.abbreviation();
        let zone = self.offset().zip(name.as_deref());
        strftime(self.civil, zone, format)
    }
}

/// ISO texts have years of four digits.
fn pad_year(text: &str, year: i16) -> String {
    let plain = year.to_string();
    format!("{year:04}{}", text.strip_prefix(&plain).unwrap_or(text))
}

fn iso_time(time: Time, precision: &str) -> Result<String, Error> {
    let (hour, minute, second) = (time.hour(), time.minute(), time.second());
    let micros = time.subsec_nanosecond() / 1000;
    Ok(match precision {
        "hours" => format!("{hour:02}"),
        "minutes" => format!("{hour:02}:{minute:02}"),
        "milliseconds" => format!("{hour:02}:{minute:02}:{second:02}.{:03}", micros / 1000),
        "microseconds" => format!("{hour:02}:{minute:02}:{second:02}.{micros:06}"),
        "auto" if micros != 0 => format!("{hour:02}:{minute:02}:{second:02}.{micros:06}"),
        "auto" | "seconds" => format!("{hour:02}:{minute:02}:{second:02}"),
        other => return Err(type_error(format!("unknown timespec value `{other}`"))),
    })
}

fn date_attribute(date: Date, name: &str) -> Option<Value> {
    Some(match name {
        "year" => Value::from(date.year()),
        "month" => Value::from(date.month()),
        "day" => Value::from(date.day()),
        _ => return None,
    })
}

fn time_attribute(time: Time, name: &str) -> Option<Value> {
    Some(match name {
        "hour" => Value::from(time.hour()),
        "minute" => Value::from(time.minute()),
        "second" => Value::from(time.second()),
        "microsecond" => Value::from(time.subsec_nanosecond() / 1000),
        _ => return None,
    })
}

fn date_method(date: Date, method: &str) -> Option<Value> {
    Some(match method {
        "weekday" => Value::from(weekday(date.weekday())),
        "isoweekday" => Value::from(weekday(date.weekday()) + 1),
        "toordinal" => {
            let days = days_between(Date::constant(1, 1, 1), date) + 1;
            Value::from(i64::try_from(days).unwrap_or(i64::MAX))
        }
        "isocalendar" => {
            let iso = date.iso_week_date();
            tuple(vec![
                Value::from(iso.year()),
                Value::from(iso.week()),
                Value::from(weekday(date.weekday()) + 1),
            ])
        }
        _ => return None,
    })
}

fn format_argument(args: &[Value]) -> Result<String, Error> {
    let [format] = bind("strftime", args, ["format"], 1)?;
    Ok(text(format.as_ref()).unwrap_or_default())
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.iso(" ", "auto").map_err(|_| fmt::Error)?)
    }
}

impl Object for Moment {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let key = key.as_str()?;
        if key == "tzinfo" {
            return Some(self.zone.clone().map_or(Value::from(()), zone_value));
        }
        date_attribute(self.civil.date(), key).or_else(|| time_attribute(self.civil.time(), key))
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Answer {
        if let Some(value) = date_method(self.civil.date(), method) {
            return Ok(value);
        }
        match method {
            "strftime" | "__format__" => Ok(Value::from(self.format(&format_argument(args)?))),
            "isoformat" => {
                let [separator, precision] = bind(method, args, ["sep", "timespec"], 0)?;
                let separator = text(separator.as_ref()).unwrap_or_else(|| "T".to_owned());
                let precision = text(precision.as_ref()).unwrap_or_else(|| "auto".to_owned());
                self.iso(&separator, &precision).map(Value::from)
            }
            "ctime" => Ok(Value::from(self.format("%a %b %e %H:%M:%S %Y"))),
            "date" => Ok(date_value(self.civil.date())),
            "time" | "timetz" => Ok(time_value(self.civil.time())),
            "timestamp" => {
                let micros = match &self.zone {
                    Some(_) => self.micros(),
                    None => TimeZone::system()
                        .to_zoned(self.civil)
                        .map_err(out_of_range)?
                        .timestamp()
                        .as_microsecond()
                        .into(),
                };
                Ok(Value::from(micros as f64 / 1e6))
            }
            "utcoffset" => Ok(self.offset().map_or(Value::from(()), |seconds| {
                Value::from_object(Delta(i128::from(seconds) * SECOND))
            })),
            "tzname" => Ok(self.abbreviation().map_or(Value::from(()), Value::from)),
            "astimezone" => {
                let [zone] = bind(method, args, ["tz"], 0)?;
                let zone = zone_of(&zone)?.unwrap_or_else(|| Zone {
                    zone: TimeZone::system(),
                    name: TimeZone::system().iana_name().map(Into::into),
                });
                self.to_zone(&zone)
            }
            "replace" => {
                let [year, month, day, hour, minute, second, micros, zone] = bind(
                    method,
                    args,
                    [
                        "year",
                        "month",
                        "day",
                        "hour",
                        "minute",
                        "second",
                        "microsecond",
                        "tzinfo",
                    ],
                    0,
                )?;
                let at = self.civil;
                let date = date(
                    integer(&year, at.year().into())?,
                    integer(&month, at.month().into())?,
                    integer(&day, at.day().into())?,
                )?;
                let time = time(
                    integer(&hour, at.hour().into())?,
                    integer(&minute, at.minute().into())?,
                    integer(&second, at.second().into())?,
                    integer(&micros, i64::from(at.subsec_nanosecond()) / 1000)?,
                )?;
                Ok(Value::from_object(Moment {
                    civil: date.to_datetime(time),
                    zone: match zone {
                        Some(_) => zone_of(&zone)?,
                        None => self.zone.clone(),
                    },
                }))
            }
            "__add__" | "__radd__" => {
                let Delta(micros) = operand(method, args)?;
                self.shifted(micros)
            }
            "__sub__" => {
                if let Some(other) = args
                    .first()
                    .and_then(|value| value.downcast_object_ref::<Moment>())
                {
                    if self.zone.is_some() != other.zone.is_some() {
                        return Err(type_error(
                            "a datetime with a zone cannot be subtracted from one without, nor the other way",
                        ));
                    }
                    return Ok(Value::from_object(Delta(self.micros() - other.micros())));
                }
                let Delta(micros) = operand(method, args)?;
                self.shifted(-micros)
            }
            _ => Err(unknown_method()),
        }
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<std::cmp::Ordering> {
        let other = other.downcast_ref::<Moment>()?;
        Some(self.micros().cmp(&other.micros()))
    }
}

impl Moment {
    /// The clock moved on, as in Python: within the zone's wall time.
    fn shifted(&self, micros: i128) -> Answer {
        Ok(Value::from_object(Moment {
            civil: add_micros(self.civil, micros)?,
            zone: self.zone.clone(),
        }))
    }
}

fn operand(method: &str, args: &[Value]) -> Result<Delta, Error> {
    args.first().and_then(delta_of).ok_or_else(|| {
        let sign = if method == "__sub__" { "-" } else { "+" };
        type_error(format!(
            "unsupported operand types for `{sign}`: only a timedelta goes with a date"
        ))
    })
}

impl fmt::Debug for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:04}-{:02}-{:02}",
            self.0.year(),
            self.0.month(),
            self.0.day()
        )
    }
}

impl Object for Day {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        date_attribute(self.0, key.as_str()?)
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Answer {
        if let Some(value) = date_method(self.0, method) {
            return Ok(value);
        }
        let midnight = self.0.to_datetime(Time::midnight());
        match method {
            "strftime" => Ok(Value::from(strftime(
                midnight,
                None,
                &format_argument(args)?,
            ))),
            "isoformat" => Ok(Value::from(format!("{self:?}"))),
            "ctime" => Ok(Value::from(strftime(
                midnight,
                None,
                "%a %b %e %H:%M:%S %Y",
            ))),
            "replace" => {
                let [year, month, day] = bind(method, args, ["year", "month", "day"], 0)?;
                Ok(date_value(date(
                    integer(&year, self.0.year().into())?,
                    integer(&month, self.0.month().into())?,
                    integer(&day, self.0.day().into())?,
                )?))
            }
            "__add__" | "__radd__" => {
                let Delta(micros) = operand(method, args)?;
                add_days(self.0, micros.div_euclid(DAY)).map(date_value)
            }
            "__sub__" => {
                if let Some(other) = args
                    .first()
                    .and_then(|value| value.downcast_object_ref::<Day>())
                {
                    return Ok(Value::from_object(Delta(
                        days_between(other.0, self.0) * DAY,
                    )));
                }
                let Delta(micros) = operand(method, args)?;
                add_days(self.0, -micros.div_euclid(DAY)).map(date_value)
            }
            _ => Err(unknown_method()),
        }
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<std::cmp::Ordering> {
        Some(self.0.cmp(&other.downcast_ref::<Day>()?.0))
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&iso_time(self.0, "auto").map_err(|_| fmt::Error)?)
    }
}

impl Object for Clock {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        time_attribute(self.0, key.as_str()?)
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Answer {
        match method {
            "strftime" => {
                let at = Date::constant(1900, 1, 1).to_datetime(self.0);
                Ok(Value::from(strftime(at, None, &format_argument(args)?)))
            }
            "isoformat" => {
                let [precision] = bind(method, args, ["timespec"], 0)?;
                let precision = text(precision.as_ref()).unwrap_or_else(|| "auto".to_owned());
                iso_time(self.0, &precision).map(Value::from)
            }
            _ => Err(unknown_method()),
        }
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<std::cmp::Ordering> {
        Some(self.0.cmp(&other.downcast_ref::<Clock>()?.0))
    }
}

impl fmt::Debug for Delta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.0.div_euclid(DAY);
        let rest = self.0.rem_euclid(DAY);
        if days != 0 {
            write!(f, "{days} day{}, ", if days.abs() == 1 { "" } else { "s" })?;
        }
        let seconds = rest / SECOND;
        write!(
            f,
            "{}:{:02}:{:02}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        )?;
        match rest % SECOND {
            0 => Ok(()),
            micros => write!(f, ".{micros:06}"),
        }
    }
}

impl Object for Delta {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let rest = self.0.rem_euclid(DAY);
        let number = match key.as_str()? {
            "days" => self.0.div_euclid(DAY),
            "seconds" => rest / SECOND,
            "microseconds" => rest % SECOND,
            _ => return None,
        };
        i64::try_from(number).ok().map(Value::from)
    }

    fn is_true(self: &Arc<Self>) -> bool {
        self.0 != 0
    }

    fn call_method(
        self: &Arc<Self>,
        state: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Answer {
        let number = || {
            args.first()
                .and_then(|value| f64::try_from(value.clone()).ok())
        };
        let other = args.first().and_then(delta_of);
        let scaled = |factor: f64| {
            Ok(Value::from_object(Delta(
                (self.0 as f64 * factor).round() as i128
            )))
        };
        match (method, other) {
            ("total_seconds", _) => Ok(Value::from(self.0 as f64 / 1e6)),
            ("__neg__", _) => Ok(Value::from_object(Delta(-self.0))),
            ("__abs__", _) => Ok(Value::from_object(Delta(self.0.abs()))),
            ("__add__" | "__radd__", Some(other)) => {
                Ok(Value::from_object(Delta(self.0 + other.0)))
            }
            ("__sub__", Some(other)) => Ok(Value::from_object(Delta(self.0 - other.0))),
            ("__truediv__", Some(other)) if other.0 != 0 => {
                Ok(Value::from(self.0 as f64 / other.0 as f64))
            }
            ("__floordiv__", Some(other)) if other.0 != 0 => Ok(Value::from(
                i64::try_from(self.0.div_euclid(other.0)).unwrap_or(i64::MAX),
            )),
            // A timedelta before a date: the date knows how.
            ("__add__", None) => match args.first() {
                Some(date) => date.call_method(state, "__radd__", &[Value::from_object(**self)]),
                None => Err(unknown_method()),
            },
            ("__mul__" | "__rmul__", _) => match number() {
                Some(factor) => scaled(factor),
                None => Err(unknown_method()),
            },
            ("__truediv__" | "__floordiv__", None) => match number() {
                Some(divisor) if divisor != 0.0 => scaled(1.0 / divisor),
                _ => Err(type_error("division by zero")),
            },
            _ => Err(unknown_method()),
        }
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<std::cmp::Ordering> {
        Some(self.cmp(&Arc::new(*other.downcast_ref::<Delta>()?)))
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl Object for Zone {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str()? {
            "zone" | "key" => Some(Value::from(self.text())),
            name => super::pytz::method(self, name),
        }
    }

    fn call_method(
        self: &Arc<Self>,
        state: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Answer {
        match method {
            "utcoffset" | "tzname" => {
                let [at] = bind(method, args, ["dt"], 1)?;
                let mut at = expect_datetime(method, &at.unwrap_or_default())?;
                at.zone = Some(Zone::clone(self));
                Value::from_object(at).call_method(state, method, &[])
            }
            _ => match super::pytz::method(self, method) {
                Some(found) => found.call(state, args),
                None => Err(unknown_method()),
            },
        }
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<std::cmp::Ordering> {
        Some(self.text().cmp(&other.downcast_ref::<Zone>()?.text()))
    }
}
