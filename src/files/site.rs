//! One build of the app as it lies on disk: where its files are, under which URLs, and with which headers.

use std::borrow::Cow;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::export::Export;
use super::rules::{FileRules, Manifest};
use super::{export, path, previous};
use crate::build::{self, Build, Framework};

/// Which of the app's folders a file is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// `.next/static` and its like: the name changes with the content.
    Static,
    /// `.next/static/service-worker`: the name stays.
    ServiceWorker,
    /// `public`: the name stays.
    Public,
    /// A page of an export, or what lies beside it: the name stays.
    Page,
}

/// What a URL path means in a build.
#[derive(Debug, PartialEq, Eq)]
pub struct FileLocation<'a> {
    pub kind: FileKind,
    /// The URL path, decoded: different spellings of it are one file.
    pub url: Cow<'a, str>,
    /// Below its folder; safe to join.
    pub name: Cow<'a, str>,
    /// Where the earlier build that the address names is kept: it comes first.
    pub kept: Option<PathBuf>,
}

impl FileLocation<'_> {
    /// What one file is kept in memory under.
    pub fn key(&self) -> Cow<'_, str> {
        match self.kept.as_ref().and_then(|folder| folder.file_name()) {
            Some(build) => format!("{}?{}", self.url, build.display()).into(),
            None => Cow::Borrowed(&self.url),
        }
    }
}

/// A file that is there.
#[derive(Debug)]
pub struct Found {
    /// Without links.
    pub path: PathBuf,
    pub metadata: Metadata,
    pub from_earlier_build: bool,
}

/// A build.
#[derive(Debug, Clone)]
pub struct Site {
    pub build: Build,
    /// By what name its pages call the build, where they do.
    pub deployment: Option<String>,
    pub base_path: String,
    pub rules: Arc<FileRules>,
    /// `/_next/static/` behind the base path and behind the path of the asset prefix; of other frameworks what they have.
    prefixes: Vec<String>,
    /// Names behind them that the app answers itself.
    mutable: &'static [&'static str],
    public: Vec<String>,
    /// `.next/static`, or its like.
    pub folder: PathBuf,
    public_folder: PathBuf,
    /// All that there is, where the build has no server.
    pub export: Option<Export>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ServerFiles {
    config: NextConfig,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NextConfig {
    base_path: String,
    asset_prefix: Option<String>,
    trailing_slash: bool,
    output: Option<String>,
    deployment_id: Option<String>,
}

impl Site {
    /// Reads the build in `dist` of the app in `app`, which is of `framework`.
    ///
    /// # Errors
    /// When there is none, or its manifests cannot be read.
    pub fn read(framework: &'static Framework, app: &Path, dist: &Path, public: &[String]) -> io::Result<Site> {
        if framework.is_next() {
            return Site::of_next(app, dist, public);
        }
        let missing = |what: &str| io::Error::new(io::ErrorKind::NotFound, what);
        let build = Build::of(framework, dist).ok_or_else(|| missing("it has no build"))?;
        let (folder, prefix) = framework.output.immutable.ok_or_else(|| missing("its files may all change"))?;
        let folder = dist.join(folder);
        if !folder.is_dir() {
            // With a base path they lie elsewhere, and the app answers them.
            return Err(missing("it has no folder of files that never change"));
        }
        Ok(Site {
            build,
            deployment: None,
            rules: Arc::default(),
            prefixes: vec![prefix.to_owned()],
            mutable: framework.output.mutable,
            public: public.to_vec(),
            folder,
            public_folder: app.join(framework.public_folder()),
            base_path: String::new(),
            export: None,
        })
    }

    fn of_next(app: &Path, dist: &Path, public: &[String]) -> io::Result<Site> {
        let build = Build::read(dist).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "it has no BUILD_ID"))?;
        let manifest: Manifest = json(&dist.join("routes-manifest.json"))?;
        let NextConfig { base_path, asset_prefix, trailing_slash, output, deployment_id } =
            json::<ServerFiles>(&dist.join("required-server-files.json"))?.config;
        let base_path = if base_path.is_empty() { manifest.base_path.clone() } else { base_path };
        let mut prefixes = vec![format!("{base_path}/_next/static/")];
        let asset_path = asset_prefix.as_deref().map(asset_path).unwrap_or_default();
        if !asset_path.is_empty() && asset_path != base_path {
            prefixes.push(format!("{asset_path}/_next/static/"));
        }
        Ok(Site {
            build,
            deployment: deployment_id.filter(|id| !id.is_empty()),
            rules: Arc::new(FileRules::new(&manifest)),
            prefixes,
            mutable: &[],
            public: public.to_vec(),
            folder: dist.join("static"),
            public_folder: app.join("public"),
            export: (output.as_deref() == Some("export"))
                .then(|| Export { folder: build::export_folder(app, dist), trailing_slash }),
            base_path,
        })
    }

    /// What the folder is called in which its files are kept for later.
    pub fn kept_name(&self) -> String {
        previous::folder_name(&self.build.identity(), self.deployment.as_deref())
    }

    /// The same build with another list of what is answered of `public`.
    pub fn with_public(&self, public: &[String]) -> Site {
        Site { public: public.to_vec(), ..self.clone() }
    }

    /// What `url_path` means here, if it means a file at all.
    pub fn locate<'a>(&self, url_path: &'a str) -> Option<FileLocation<'a>> {
        for prefix in &self.prefixes {
            if let Some(encoded) = url_path.strip_prefix(prefix.as_str()) {
                let name = path::name(encoded)?;
                if self.mutable.contains(&name.as_ref()) {
                    return None;
                }
                let kind = if name.starts_with("service-worker/") { FileKind::ServiceWorker } else { FileKind::Static };
                return Some(FileLocation { kind, url: decoded(url_path, prefix, &name), name, kept: None });
            }
        }
        if self.export.is_some() {
            return export::name(url_path.strip_prefix(self.base_path.as_str())?).map(|name| self.page(name));
        }
        if self.public.is_empty() {
            return None;
        }
        let below = url_path.strip_prefix(self.base_path.as_str())?;
        let is_listed = |prefix: &String| {
            below
                .strip_prefix(prefix.as_str())
                .is_some_and(|rest| rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/'))
        };
        if !self.public.iter().any(is_listed) {
            return None;
        }
        let name = path::name(below.strip_prefix('/')?)?;
        Some(FileLocation {
            kind: FileKind::Public,
            url: decoded(url_path, &format!("{}/", self.base_path), &name),
            name,
            kept: None,
        })
    }

    /// The page or file `name` of an export: one for the address with a slash at its end, and for that without.
    pub fn page<'a>(&self, name: impl Into<Cow<'a, str>>) -> FileLocation<'a> {
        let name = name.into();
        FileLocation { kind: FileKind::Page, url: format!("{}/{name}", self.base_path).into(), name, kept: None }
    }

    /// True for paths that [`Site::locate`] has to look at.
    pub fn covers(&self, url_path: &str) -> bool {
        self.export.is_some()
            || self.prefixes.iter().any(|prefix| url_path.starts_with(prefix.as_str()))
            || (!self.public.is_empty() && self.locate(url_path).is_some())
    }

    /// Looks for the file on disk, in this build and then in those that were `kept`. `own` is where this build itself is
    /// kept: once another lies in its place it comes first, since a name may be in both, with other content. Blocks.
    pub fn find(&self, kind: FileKind, name: &str, own: Option<&Path>, kept: &[PathBuf]) -> Option<Found> {
        let is_replaced = !self.build.is_there();
        let is_kept = is_replaced && !matches!(kind, FileKind::Public | FileKind::Page);
        let ours = own.filter(|_| is_kept).and_then(|folder| find_below(folder, name));
        let here = || match kind {
            // Its name stays, and what lies there is another build's.
            FileKind::ServiceWorker if is_replaced => None,
            FileKind::Static | FileKind::ServiceWorker => find_below(&self.folder, name),
            FileKind::Public => find_below(&self.public_folder, name),
            FileKind::Page => {
                self.export.as_ref()?.candidates(name).find_map(|(folder, name)| find_below(folder, &name))
            }
        };
        if let Some((path, metadata)) = ours.or_else(here) {
            return Some(Found { path, metadata, from_earlier_build: false });
        }
        // Of these alone the name says that the content is the one that is asked for.
        if kind != FileKind::Static {
            return None;
        }
        kept.iter().find_map(|folder| find_kept(folder, name))
    }
}

/// `url_path` in its decoded form, which is shorter wherever there was something to decode.
fn decoded<'a>(url_path: &'a str, prefix: &str, name: &str) -> Cow<'a, str> {
    if url_path.len() == prefix.len() + name.len() {
        return Cow::Borrowed(url_path);
    }
    Cow::Owned(format!("{prefix}{name}"))
}

/// The file `name` of an earlier build that is kept in `folder`. Blocks.
pub fn find_kept(folder: &Path, name: &str) -> Option<Found> {
    let (path, metadata) = find_below(folder, name)?;
    Some(Found { path, metadata, from_earlier_build: true })
}

/// A regular file in `folder` or below it; links are followed as long as they end inside.
fn find_below(folder: &Path, name: &str) -> Option<(PathBuf, Metadata)> {
    let folder = folder.canonicalize().ok()?;
    let path = folder.join(name).canonicalize().ok()?;
    if !path.starts_with(&folder) {
        return None;
    }
    // Looked at before anything is opened: opening a pipe would wait for its other end.
    let metadata = fs::metadata(&path).ok()?;
    metadata.is_file().then_some((path, metadata))
}

/// The path in `assetPrefix`, which may be a path or a whole URL.
fn asset_path(prefix: &str) -> String {
    let path = match prefix.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
        None => prefix,
    };
    let path = path.trim_matches('/');
    if path.is_empty() { String::new() } else { format!("/{path}") }
}

/// A manifest; a missing one is an empty one (an old or trimmed build), a broken one is an error.
fn json<T: Default + serde::de::DeserializeOwned>(file: &Path) -> io::Result<T> {
    match fs::read(file) {
        Ok(text) => serde_json::from_slice(&text)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", file.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(T::default()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(config: serde_json::Value, public: &[&str]) -> (Site, tempfile::TempDir) {
        let app = tempfile::tempdir().unwrap();
        let dist = app.path().join(".next");
        fs::create_dir_all(dist.join("static")).unwrap();
        fs::write(dist.join("BUILD_ID"), "one\n").unwrap();
        let server_files = serde_json::json!({ "config": config });
        fs::write(dist.join("required-server-files.json"), server_files.to_string()).unwrap();
        let public: Vec<_> = public.iter().map(|prefix| (*prefix).to_owned()).collect();
        (Site::of_next(app.path(), &dist, &public).unwrap(), app)
    }

    #[test]
    fn prefixes_come_from_base_path_and_asset_prefix() {
        let none = serde_json::json!({ "basePath": "", "assetPrefix": "" });
        let both = serde_json::json!({ "basePath": "/docs", "assetPrefix": "https://cdn.test/assets/" });
        let base = serde_json::json!({ "basePath": "/docs", "assetPrefix": "/docs" });
        for (config, url, expected) in [
            (&none, "/_next/static/a.js", Some("a.js")),
            (&none, "/docs/_next/static/a.js", None),
            (&none, "/_next/staticky/a.js", None),
            (&none, "/_next/static", None),
            (&none, "/_next/static/../BUILD_ID", None),
            (&both, "/docs/_next/static/a.js", Some("a.js")),
            (&both, "/assets/_next/static/a.js", Some("a.js")),
            (&both, "/_next/static/a.js", None),
            (&base, "/docs/_next/static/a.js", Some("a.js")),
            (&base, "/_next/static/a.js", None),
        ] {
            let (site, _app) = site(config.clone(), &[]);
            assert_eq!(site.locate(url).map(|place| place.name.into_owned()).as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn public_files_are_served_only_where_a_prefix_says_so() {
        let config = serde_json::json!({ "basePath": "/docs" });
        let (site, _app) = site(config, &["/images/", "/robots.txt"]);
        for (url, expected) in [
            ("/docs/images/a.png", true),
            ("/docs/robots.txt", true),
            ("/docs/robots.txt2", false),
            ("/docs/other/a.png", false),
            ("/images/a.png", false),
            ("/docs/images/../secret.png", false),
            ("/docs/images/%2e%2e/secret.png", false),
        ] {
            assert_eq!(site.locate(url).is_some_and(|place| place.kind == FileKind::Public), expected, "{url}");
        }
    }

    #[test]
    fn asset_prefixes_have_paths() {
        for (prefix, expected) in [
            ("", ""),
            ("/", ""),
            ("/cdn/", "/cdn"),
            ("cdn", "/cdn"),
            ("https://cdn.test", ""),
            ("https://cdn.test/", ""),
            ("https://cdn.test/a/b", "/a/b"),
        ] {
            assert_eq!(asset_path(prefix), expected, "{prefix}");
        }
    }
}
