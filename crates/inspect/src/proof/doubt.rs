//! What files alone cannot say: data that a program may look for when it runs, and libraries that the C library may load
//! later. Those that the program itself loads are in `dlopen.rs`.
//!
//! Never an error. A Go server contains the paths of certificates and time zones whether it uses them or not, so that
//! alone is a note, which changes no verdict; a library that makes TLS calls, or a zone that is asked for, is a doubt.
//! Only what is missing is mentioned.

use std::io;

use super::{Finding, Program, Proof, Severity, Subject, shown};
use crate::elf::contains_any;
use crate::loader::{Closure, Family, Object};

/// Where programs look for certificate authorities. Source: Go `crypto/x509/root_linux.go`, rustls-native-certs.
pub const BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// Where programs look for time zones.
pub const ZONES: &str = "/usr/share/zoneinfo";
/// Texts in a program that say what it brings itself, and what it is.
const OWN_ZONES: &str = "time/tzdata";
const GO: &str = "Go buildinf:";
/// The function that Go programs get zones with. The linker keeps its name, even in stripped programs, if it is used.
const GO_ZONES: &str = "time.LoadLocation\0";
/// Libraries that read the bundle of certificates.
const TLS_LIBRARIES: [&[u8]; 4] = [b"libssl.so", b"libgnutls.so", b"libcurl.so", b"libmbedtls.so"];
/// Functions of the C library that load a library when they are called, and which.
const LOADED_LATER: [(&str, &str, &str); 2] = [
    ("pthread_cancel", "libgcc_s.so.1", "when a thread is cancelled"),
    ("pthread_exit", "libgcc_s.so.1", "when a thread ends itself"),
];

impl Proof<'_> {
    /// Everything that is not sure of a program that was found.
    pub(super) fn doubts(&mut self, program: &Program) -> io::Result<()> {
        let Some(binary) = &program.binary else { return Ok(()) };
        let texts: Vec<&str> = BUNDLES.iter().copied().chain([ZONES, OWN_ZONES, GO, GO_ZONES]).collect();
        let found = contains_any(&*self.view.open(binary)?, &texts)?;
        let mentions_bundle = found[..BUNDLES.len()].contains(&true);
        let [zones, own_zones, is_go, asks] = [0, 1, 2, 3].map(|index| found[BUNDLES.len() + index]);
        let no_objects = Vec::new();
        let objects = program.closure.as_ref().map_or(&no_objects, |closure| &closure.objects);
        self.certificates(program, mentions_bundle, objects)?;
        self.time_zones(program, zones && !own_zones, is_go && asks)?;
        if let Some(closure) = &program.closure {
            self.locale(closure)?;
            self.name_service(closure)?;
            self.loaded_later(closure)?;
            self.dlopen(closure, binary)?;
        }
        Ok(())
    }

    fn certificates(&mut self, program: &Program, mentioned: bool, objects: &[Object]) -> io::Result<()> {
        let library = objects.iter().find(|object| {
            let name = object.name();
            TLS_LIBRARIES.iter().any(|library| name.starts_with(library))
        });
        let is_set = self.variable("SSL_CERT_FILE").is_some() || self.variable("SSL_CERT_DIR").is_some();
        if (!mentioned && library.is_none()) || is_set {
            return Ok(());
        }
        for bundle in BUNDLES {
            if self.view.exists(bundle.as_bytes())? {
                return Ok(());
            }
        }
        let path = shown(&program.place.path);
        let message = format!(
            "CA certificates: if {path} makes TLS calls they fail, for the image has no certificate authorities"
        );
        let stage = self.stage_with(&program.place, BUNDLES[0])?;
        // That its path stands in the program says that it was linked, not that it is used.
        let severity = if library.is_some() { Severity::Warning } else { Severity::Note };
        let finding = self.find("ca-certificates", severity, Subject::File(path), message);
        bring(finding, stage, BUNDLES[0]);
        Ok(())
    }

    /// C programs read the zone of TZ and do with UTC otherwise; Go programs may ask for any.
    fn time_zones(&mut self, program: &Program, mentioned: bool, asks_for_any: bool) -> io::Result<()> {
        let path = shown(&program.place.path);
        let zone = self.variable("TZ").map(|zone| zone.trim_start_matches(':')).unwrap_or_default();
        let is_name = zone.contains('/') && !zone.starts_with('/');
        let message = if mentioned && is_name && !self.view.exists(format!("{ZONES}/{zone}").as_bytes())? {
            format!("time zones: TZ is {zone}, which the image does not have; {path} uses UTC")
        } else if mentioned
            && asks_for_any
            && self.variable("ZONEINFO").is_none()
            && !self.view.exists(ZONES.as_bytes())?
        {
            format!("time zones: if {path} uses a zone other than UTC it fails, for the image has none")
        } else {
            return Ok(());
        };
        let stage = self.stage_with(&program.place, ZONES)?;
        let finding = self.warning("time-zones", Subject::File(path), message);
        bring(finding, stage, ZONES);
        Ok(())
    }

    fn locale(&mut self, closure: &Closure) -> io::Result<()> {
        if !closure.objects.iter().any(|object| mentions(object, "setlocale"))
            || family(closure) != Family::Glibc
        {
            return Ok(());
        }
        for name in ["LC_ALL", "LANG"] {
            let value = self.variable(name).unwrap_or_default();
            let built_in = matches!(value, "" | "C" | "POSIX" | "C.UTF-8" | "C.utf8");
            if built_in
                || self.view.exists(b"/usr/lib/locale/locale-archive")?
                || self.view.exists(format!("/usr/lib/locale/{value}").as_bytes())?
            {
                continue;
            }
            let message =
                format!("locale: {name} is {value}, which the image does not have; programs fall back to C");
            self.warning("locale", Subject::Environment(name.to_owned()), message)
                .fix("C.UTF-8 is built in", format!("ENV {name}=C.UTF-8"));
        }
        Ok(())
    }

    /// Before glibc 2.34 the C library loaded a module for each way of looking up names.
    fn name_service(&mut self, closure: &Closure) -> io::Result<()> {
        let uses = ["getaddrinfo", "getpwnam", "getpwuid", "gethostbyname"];
        let program = &closure.objects[0];
        let Some(function) = uses.iter().find(|function| mentions(program, function)) else { return Ok(()) };
        let Some(libc) = closure.objects.iter().find(|object| object.name() == b"libc.so.6") else {
            return Ok(());
        };
        let defines = libc.elf.dynamic.as_ref().and_then(|dynamic| dynamic.defines.as_ref());
        if defines.is_none_or(|versions| versions.contains(&b"GLIBC_2.34".to_vec())) {
            return Ok(());
        }
        for library in ["libnss_files.so.2", "libnss_dns.so.2"] {
            if !self.is_library(closure, library)? {
                let message = format!(
                    "name service: {function} loads {library} with this glibc, and it is not in the image; look-ups of \
                     users or hosts fail"
                );
                let subject = Subject::File(text(&program.path));
                let (stage, path) = self.beside_libc(closure, library)?;
                bring(self.warning("name-service", subject, message), stage, &path);
            }
        }
        Ok(())
    }

    fn loaded_later(&mut self, closure: &Closure) -> io::Result<()> {
        if family(closure) != Family::Glibc {
            return Ok(());
        }
        let program = &closure.objects[0];
        for (function, library, when) in LOADED_LATER {
            let is_loaded = closure.objects.iter().any(|object| object.name() == library.as_bytes());
            if mentions(program, function) && !is_loaded && !self.is_library(closure, library)? {
                let message = format!("{library} is loaded {when}, and it is not in the image");
                let (stage, path) = self.beside_libc(closure, library)?;
                let subject = Subject::File(text(&program.path));
                bring(self.warning("library-loaded-later", subject, message), stage, &path);
            }
        }
        if mentions(program, "iconv_open") {
            let mut found = false;
            for directory in &closure.default_directories {
                found |= self.view.exists(&[directory, &b"/gconv"[..]].concat())?;
            }
            if !found {
                let message = "conversions: iconv is used, and the image has no gconv modules; only UTF-8 and ASCII work";
                let (stage, path) = self.beside_libc(closure, "gconv")?;
                let subject = Subject::File(text(&program.path));
                bring(self.find("iconv", Severity::Note, subject, message.to_owned()), stage, &path);
            }
        }
        Ok(())
    }

    /// Where something lies beside the C library, and the stage of the program if that has it.
    fn beside_libc(&self, closure: &Closure, name: &str) -> io::Result<(Option<String>, String)> {
        let libc = closure.objects.iter().find(|object| object.name() == b"libc.so.6");
        let default = closure.default_directories.first().map(|directory| text(directory));
        let folder = match libc.map(|libc| text(&libc.path)) {
            Some(path) => path.rsplit_once('/').map(|(folder, _)| folder.to_owned()),
            None => default,
        };
        let path = format!("{}/{name}", folder.unwrap_or_default());
        Ok((self.stage_with(&closure.objects[0].place, &path)?, path))
    }

    fn is_library(&self, closure: &Closure, name: &str) -> io::Result<bool> {
        for directory in &closure.default_directories {
            if self.view.exists(&[directory, &b"/"[..], name.as_bytes()].concat())? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// How to get data that some stage has, or some base.
fn bring(finding: &mut Finding, stage: Option<String>, path: &str) {
    match stage {
        Some(stage) => finding.fix("bring them", format!("COPY --from={stage} {path} {path}")),
        None => finding.fix(
            "bring them from a stage that has them (replace `build` by its name)",
            format!("COPY --from=build {path} {path}"),
        ),
    };
}

pub(super) fn mentions(object: &Object, symbol: &str) -> bool {
    object.elf.dynamic.as_ref().is_some_and(|dynamic| dynamic.mentions(symbol))
}

pub(super) fn family(closure: &Closure) -> Family {
    closure.objects.get(1).and_then(|loader| Family::of(&loader.path)).unwrap_or(Family::Glibc)
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
