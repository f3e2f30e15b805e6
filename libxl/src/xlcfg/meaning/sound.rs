//! Paravirtual sound cards.

use super::ctext::{loose, low_u32, parts, split};
use super::devid::devid;
use super::reader::{Reader, Result};
use crate::{
    config::{Vsnd, VsndParams, VsndPcm, VsndPcmFormat, VsndStream, VsndStreamType},
    xlcfg::file::Value,
};

const KEY: &str = "vsnd";

/// Reads the sound cards: for each a list of texts that begin with `card`, `pcm` or `stream`.
pub(super) fn cards(reader: &Reader<'_>) -> Result<Vec<Vsnd>> {
    let mut cards = Vec::new();
    for (index, card) in reader.list(KEY).unwrap_or_default().into_iter().enumerate() {
        let Value::List(items) = card else {
            return reader.refuse(KEY, "a card that is no list; write [ [ \"card, …\", … ] ]");
        };
        let mut card = Vsnd {
            devid: devid(index),
            ..Vsnd::default()
        };
        for item in reader.leading_texts(KEY, items) {
            add_item(reader, &mut card, &item)?;
        }
        cards.push(card);
    }
    Ok(cards)
}

fn add_item(reader: &Reader<'_>, card: &mut Vsnd, text: &str) -> Result<()> {
    let mut parts = parts(text);
    let Some(what) = parts.next() else {
        return Ok(());
    };
    let what = what.to_ascii_lowercase();
    match what.as_str() {
        "card" => {}
        "pcm" => card.pcms.push(VsndPcm::default()),
        "stream" => {
            if card.pcms.is_empty() {
                card.pcms.push(VsndPcm::default());
            }
            if let Some(pcm) = card.pcms.last_mut() {
                pcm.streams.push(VsndStream::default());
            }
        }
        _ => return reader.refuse(KEY, format!("{what:?}; write card, pcm or stream first")),
    }
    for part in parts {
        let Some((name, value)) = part.split_once('=') else {
            return reader.refuse(KEY, format!("{part:?} is not known; write name=value"));
        };
        let known = match (what.as_str(), card.pcms.last_mut()) {
            ("pcm", Some(pcm)) => set_pcm(reader, pcm, name, value)?,
            ("stream", Some(pcm)) => match pcm.streams.last_mut() {
                Some(stream) => set_stream(reader, stream, name, value)?,
                None => false,
            },
            _ => set_card(reader, card, name, value)?,
        };
        if !known {
            return reader.refuse(KEY, format!("{name}: a {what} does not have it"));
        }
    }
    Ok(())
}

fn set_card(reader: &Reader<'_>, card: &mut Vsnd, name: &str, value: &str) -> Result<bool> {
    if set_params(reader, &mut card.params, name, value)? {
        return Ok(true);
    }
    let field = match name {
        "backend" => &mut card.backend_domname,
        "short-name" => &mut card.short_name,
        "long-name" => &mut card.long_name,
        _ => return Ok(false),
    };
    *field = Some(value.to_owned());
    Ok(true)
}

fn set_pcm(reader: &Reader<'_>, pcm: &mut VsndPcm, name: &str, value: &str) -> Result<bool> {
    if set_params(reader, &mut pcm.params, name, value)? {
        return Ok(true);
    }
    if name != "name" {
        return Ok(false);
    }
    pcm.name = Some(value.to_owned());
    Ok(true)
}

fn set_stream(
    reader: &Reader<'_>,
    stream: &mut VsndStream,
    name: &str,
    value: &str,
) -> Result<bool> {
    if set_params(reader, &mut stream.params, name, value)? {
        return Ok(true);
    }
    match name {
        "unique-id" => stream.unique_id = Some(value.to_owned()),
        "type" => stream.r#type = reader.parse_word::<VsndStreamType>(KEY, "type=", value)?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// Sets a parameter that cards, devices and streams have in common. Returns false if no parameter
/// has this name.
fn set_params(
    reader: &Reader<'_>,
    params: &mut VsndParams,
    name: &str,
    value: &str,
) -> Result<bool> {
    let number = || Some(low_u32(loose(value))).filter(|&number| number != 0);
    let items = || match split(value, &[';']) {
        Some(items) => Ok(items),
        None => reader.refuse(KEY, format!("{name}: no values; write some with ; between")),
    };
    match name {
        "sample-rates" => {
            let rates = items()?;
            params.sample_rates = rates.iter().map(|rate| low_u32(loose(rate))).collect();
        }
        "sample-formats" => {
            params.sample_formats.clear();
            for item in items()? {
                let format = reader.parse_word::<VsndPcmFormat>(KEY, "sample-formats=", item)?;
                params.sample_formats.extend(format);
            }
        }
        "channels-min" => params.channels_min = number(),
        "channels-max" => params.channels_max = number(),
        "buffer-size" => params.buffer_size = number(),
        _ => return Ok(false),
    }
    Ok(true)
}
