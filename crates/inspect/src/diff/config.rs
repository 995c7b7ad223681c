//! How containers of two images start differently: each setting by the name of the instruction that sets it.

use std::collections::BTreeMap;

use jettison_oci::{ContainerConfig, ImageConfig};
use serde::Serialize;
use serde_json::{Value, json};

/// A setting that is not the same in both images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Its name, such as `ENV PATH` or `CMD`.
    pub name: String,
    /// In the first image; `None` if it is not set there.
    pub from: Option<Value>,
    /// In the second.
    pub to: Option<Value>,
}

/// What differs from one config to the other. History and layers are not compared, nor when the image was made.
pub fn settings(from: &ImageConfig, to: &ImageConfig) -> Vec<Setting> {
    let (mut a, mut b) = (flat(from), flat(to));
    // The order of variables and labels alone changes nothing; that of ONBUILD does, and is in its value.
    a.retain(|name, value| match b.get(name) {
        Some(other) if other == value => {
            b.remove(name);
            false
        }
        _ => true,
    });
    let mut names: Vec<String> = a.keys().chain(b.keys()).cloned().collect();
    names.sort();
    names.dedup();
    let setting = |name: String| Setting { from: a.remove(&name), to: b.remove(&name), name };
    names.into_iter().map(setting).collect()
}

fn flat(config: &ImageConfig) -> BTreeMap<String, Value> {
    let mut settings = BTreeMap::new();
    settings.insert("platform".to_owned(), json!(config.platform().to_string()));
    if let Some(author) = &config.author {
        settings.insert("MAINTAINER".to_owned(), json!(author));
    }
    settings.extend(config.extra.iter().map(|(name, value)| (name.clone(), value.clone())));
    add_container(&mut settings, &config.config);
    settings
}

fn add_container(settings: &mut BTreeMap<String, Value>, config: &ContainerConfig) {
    let mut put = |name: String, value: Value| {
        settings.insert(name, value);
    };
    for variable in &config.env {
        let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
        put(format!("ENV {name}"), json!(value));
    }
    for (name, value) in &config.labels {
        put(format!("LABEL {name}"), json!(value));
    }
    for port in config.exposed_ports.keys() {
        put(format!("EXPOSE {port}"), json!({}));
    }
    for volume in config.volumes.keys() {
        put(format!("VOLUME {volume}"), json!({}));
    }
    for (name, text) in [("USER", &config.user), ("WORKDIR", &config.working_dir)] {
        if !text.is_empty() {
            put(name.to_owned(), json!(text));
        }
    }
    let lists = [("ENTRYPOINT", &config.entrypoint), ("CMD", &config.cmd), ("SHELL", &config.shell)];
    for (name, list) in lists {
        if let Some(list) = list {
            put(name.to_owned(), json!(list));
        }
    }
    if !config.on_build.is_empty() {
        put("ONBUILD".to_owned(), json!(config.on_build));
    }
    if let Some(signal) = &config.stop_signal {
        put("STOPSIGNAL".to_owned(), json!(signal));
    }
    if let Some(check) = &config.healthcheck {
        put("HEALTHCHECK".to_owned(), json!(check));
    }
    for (name, value) in &config.extra {
        put(name.clone(), value.clone());
    }
}
