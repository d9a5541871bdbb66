//! The operator's side: giving orders to a running pgsteer.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::{
    config::Config,
    net::{
        KeepAlive, NetDialer,
        http::{Answer, HttpClient, HttpEndpoint},
    },
};

/// A request to the running pgsteer takes no longer.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// How often it is asked how far it is.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A change of leader as it is ordered on the command line.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// The cluster; may be left out where there is one.
    pub cluster: Option<String>,
    /// Who is to lead; without it the synchronous standby, or else the one that is least behind.
    pub candidate: Option<String>,
    /// How long running transactions may take, as a duration is written in the configuration.
    pub wait: Option<String>,
}

/// Has the pgsteer that runs with this configuration change the leader; `say` is told each step as it is done.
///
/// # Errors
/// It did not come about, or nobody could be asked; a sentence for the operator.
pub async fn switch_over(config: &Config, order: &Order, mut say: impl FnMut(&str)) -> Result<(), String> {
    let mut client = client(config)?;
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    let given = [("cluster", &order.cluster), ("candidate", &order.candidate), ("wait", &order.wait)];
    for (name, value) in given {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    let path = format!("/switchover?{}", query.finish());
    in_time(client.post(&path, String::new())).await?;
    let mut cluster = url::form_urlencoded::Serializer::new(String::new());
    if let Some(name) = &order.cluster {
        cluster.append_pair("cluster", name);
    }
    let path = format!("/switchover?{}", cluster.finish());
    let mut told = 0;
    loop {
        let report = in_time(client.get(&path)).await?;
        let steps: Vec<&str> =
            report["steps"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let (last, before) =
            steps.split_last().map_or((None, &[][..]), |(last, before)| (Some(*last), before));
        let state = report["state"].as_str().unwrap_or_default();
        let done = if state == "failed" { before } else { &steps[..] };
        done.iter().skip(told).for_each(|step| say(step));
        told = done.len().max(told);
        match state {
            "running" => sleep(LOOK_AGAIN).await,
            "done" => return Ok(()),
            _ => return Err(last.unwrap_or("it was not carried out").to_owned()),
        }
    }
}

fn client(config: &Config) -> Result<HttpClient, String> {
    let http = &config.keys.http;
    let Some(mut address) = http.address.0 else {
        return Err("[http] address is 0: the running pgsteer takes no orders".to_owned());
    };
    let Some(token) = &http.token else {
        return Err("[http] has no `token`: the running pgsteer takes no orders".to_owned());
    };
    if address.ip().is_unspecified() {
        address = SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, address.port()));
    }
    let keepalive = KeepAlive { enabled: false, idle: None, interval: None, count: None, user_timeout: None };
    let endpoint = HttpEndpoint::new(&format!("http://{address}"), None, Arc::new(NetDialer::new(keepalive)));
    let endpoint = endpoint
        .and_then(|endpoint| endpoint.with_secret("authorization", &format!("Bearer {}", token.expose())));
    Ok(HttpClient::new(endpoint.map_err(|unfit| unfit.0)?))
}

/// The answer's body, if it is one.
async fn in_time(asked: impl Future<Output = Result<Answer, String>>) -> Result<Value, String> {
    let answer = timeout(ANSWER_MAX, asked).await;
    let answer = answer.map_err(|_| format!("the running pgsteer does not answer within {ANSWER_MAX:?}"))?;
    let answer = answer.map_err(|why| format!("the running pgsteer cannot be asked: {why}"))?;
    answer.json().map_err(|why| format!("the running pgsteer refused: {why}"))
}
