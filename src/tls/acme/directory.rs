//! What an authority says of itself (RFC 8555 section 7.1.1), for those who look before they order.

use std::net::{IpAddr, UdpSocket};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Request;
use http::header::DATE;
use instant_acme::{BodyWrapper, HttpClient};
use serde_json::Value;
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::client::AcmeClient;
use crate::tls::Config;
use crate::tls::automatic::AcmeConfig;
use crate::tls::identity::in_words;

/// A clock that is off by more than this makes certificates look expired, or not valid yet.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(3600);

/// For the addresses of one name.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);

/// What the directory says.
#[derive(Debug)]
pub struct DirectoryInfo {
    /// The address of its terms; none where it has none.
    pub terms: Option<String>,
    /// It takes only those who have an account with it elsewhere.
    pub needs_binding: bool,
    /// What its clock shows.
    date: Option<SystemTime>,
}

impl DirectoryInfo {
    /// Asks for it.
    ///
    /// # Errors
    /// A sentence.
    pub async fn ask(client: &AcmeClient, url: &str) -> Result<DirectoryInfo, String> {
        let request = Request::get(url).body(BodyWrapper::<Bytes>::default()).map_err(|error| error.to_string())?;
        let mut answer = client.request(request).await.map_err(|error| error.to_string())?;
        let date = answer.parts.headers.get(DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
        let status = answer.parts.status;
        let body = answer.body.into_bytes().await.map_err(|error| error.to_string())?;
        let directory: Value = serde_json::from_slice(&body).unwrap_or_default();
        if !status.is_success() || !directory["newOrder"].is_string() {
            return Err(format!("{url} is no directory of an authority (status {})", status.as_u16()));
        }
        let meta = &directory["meta"];
        let terms = meta["termsOfService"].as_str().map(str::to_owned);
        Ok(DirectoryInfo { terms, needs_binding: meta["externalAccountRequired"] == true, date })
    }
}

/// What can be said of `tls.domains` and their authority before anything is ordered: what holds, then what will fail.
pub async fn survey(config: &Config) -> (Vec<String>, Vec<String>) {
    let (mut said, mut wrong) = (Vec::new(), Vec::new());
    let asked = [Some(config.acme.clone()), config.acme.for_staging(), config.acme.for_fallback()];
    for acme in asked.into_iter().flatten() {
        let host = acme.directory.host();
        match authority(&acme).await {
            Ok(info) => {
                let terms = info.terms.as_deref().unwrap_or("none");
                said.push(format!("authority {host}: answers; its terms, which tls.domains agrees to: {terms}"));
                wrong.extend(objections(&acme, &info, config.acme.fallback.as_ref() == Some(&acme.directory)));
            }
            Err(why) => wrong.push(format!("authority {host}: {why}")),
        }
    }
    for domain in config.domains.iter().filter(|domain| !domain.starts_with("*.") && domain.parse::<IpAddr>().is_err())
    {
        match addresses(domain).await {
            Ok(found) => {
                let list = found.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                let is_here = found.iter().any(|address| UdpSocket::bind((*address, 0)).is_ok());
                let note = "; none of them is this machine's own, as is usual behind a balancer or NAT only";
                said.push(format!("name {domain}: leads to {list}{}", if is_here { "" } else { note }));
            }
            Err(why) => wrong.push(format!("name {domain}: {why}; give it an A or AAAA record that leads here")),
        }
    }
    (said, wrong)
}

async fn authority(acme: &AcmeConfig) -> Result<DirectoryInfo, String> {
    DirectoryInfo::ask(&AcmeClient::new(acme)?, acme.directory.url()).await
}

fn objections(acme: &AcmeConfig, info: &DirectoryInfo, is_fallback: bool) -> Vec<String> {
    let host = acme.directory.host();
    let mut wrong = Vec::new();
    if info.needs_binding && acme.eab_key_id.is_none() {
        let keys =
            if is_fallback { "fallback_eab_key_id and fallback_eab_key_file" } else { "eab_key_id and eab_key_file" };
        wrong.push(format!("authority {host}: wants an account with it: give tls.acme.{keys}"));
    }
    let now = SystemTime::now();
    let is_off = |date: SystemTime| {
        let off = now.duration_since(date).or_else(|_| date.duration_since(now)).unwrap_or_default();
        (off > CLOCK_TOLERANCE).then_some(off)
    };
    if let Some(off) = info.date.and_then(is_off) {
        let off = in_words(off);
        wrong.push(format!("the clock here and that of {host} are {off} apart: set it (timedatectl set-ntp true)"));
    }
    wrong
}

async fn addresses(domain: &str) -> Result<Vec<IpAddr>, String> {
    let found = timeout(LOOKUP_TIMEOUT, lookup_host((domain, 443))).await;
    let found = found.map_err(|_| format!("its name server did not answer within {LOOKUP_TIMEOUT:?}"))?;
    let mut found: Vec<_> = found.map_err(|error| error.to_string())?.map(|address| address.ip()).collect();
    found.dedup();
    if found.is_empty() { Err("it leads nowhere".to_owned()) } else { Ok(found) }
}
