//! The frameworks the door knows, in one table: how an app of each is known, built and started, which of its files never
//! change, what tells it of the proxy before it, and which WebSockets are its own.

use std::fmt;
use std::path::Path;

use serde_json::Value;

/// What the door knows of one.
pub struct Framework {
    /// As people call it.
    pub name: &'static str,
    /// The package whose name in `package.json` says that an app is one. Empty: any app with a `start` script.
    pub package: &'static str,
    /// A package without which a build has no server of its own.
    pub adapter: Option<&'static str>,
    /// What builds it, and what serves it in development.
    pub build: Tool,
    pub dev: Tool,
    pub start: Start,
    pub output: Output,
    /// Paths of its own WebSockets; a `*` at the end means all below.
    pub sockets: &'static [&'static str],
    /// Folders of which a project has one: without any, a build came without its sources.
    pub sources: &'static [&'static str],
    /// Variables of the environment that begin so are written into a build.
    pub public_variables: &'static [&'static str],
}

/// A program that a package brings, with its arguments. Its words are what a script of one's own is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tool {
    pub package: &'static str,
    pub program: &'static str,
    pub arguments: &'static [&'static str],
}

/// How a build is started.
#[derive(Debug)]
pub struct Start {
    /// What runs the server; `None`: Node.js itself.
    pub tool: Option<Tool>,
    /// `start` scripts that say no more than that, without `./` and what sets `NODE_ENV`.
    pub scripts: &'static [&'static str],
    /// Told to it, besides `PORT` and `HOST`.
    pub environment: &'static [(&'static str, &'static str)],
    /// Nothing that could be told to it makes it believe that a request came over https.
    pub knows_no_proxy: bool,
}

/// What a build leaves.
#[derive(Debug)]
pub struct Output {
    /// Its folder, below that of the project.
    pub folder: &'static str,
    /// Files that every build writes anew and that nothing else writes, below `folder`: the first is that without which
    /// there is none. Empty: nobody knows.
    pub written: &'static [&'static str],
    /// Of these, those without which it cannot be started.
    pub needed: usize,
    /// Where there is a word for the build: a file, and the field in it.
    pub label: Option<(&'static str, &'static str)>,
    /// Where notes about the build may lie, below `folder`: the next build deletes them.
    pub notes: &'static str,
    /// The folder whose files never change, below `folder`, and the URL path in front of their names.
    pub immutable: Option<(&'static str, &'static str)>,
    /// Of these, what changes nevertheless.
    pub mutable: &'static [&'static str],
}

const fn tool(package: &'static str, program: &'static str, arguments: &'static [&'static str]) -> Tool {
    Tool { package, program, arguments }
}

/// Next.js, which the door knows better than what stands here.
pub static NEXT: Framework = Framework {
    name: "Next.js",
    package: "next",
    adapter: None,
    build: tool("next", "next", &["build"]),
    dev: tool("next", "next", &["dev"]),
    start: Start {
        tool: Some(tool("next", "next", &["start"])),
        scripts: &[],
        environment: &[],
        knows_no_proxy: false,
    },
    output: Output {
        folder: ".next",
        written: &super::WRITTEN_FILES,
        needed: super::NEEDED_FILES.len(),
        label: None,
        notes: "",
        immutable: Some(("static", "/_next/static/")),
        mutable: &[],
    },
    sockets: &[],
    sources: &["app", "pages", "src/app", "src/pages"],
    public_variables: &["NEXT_PUBLIC_"],
};

/// Nuxt 3 and 4, whose server is Nitro's preset `node-server`.
pub static NUXT: Framework = Framework {
    name: "Nuxt",
    package: "nuxt",
    adapter: None,
    build: tool("nuxt", "nuxt", &["build"]),
    dev: tool("nuxt", "nuxt", &["dev"]),
    start: Start {
        tool: None,
        scripts: &["node .output/server/index.mjs", "nuxt start", "nuxt preview", "nuxi start", "nuxi preview"],
        environment: &[],
        knows_no_proxy: false,
    },
    output: Output {
        folder: ".output",
        written: &["server/index.mjs", "nitro.json", "public/_nuxt/builds/latest.json"],
        needed: 2,
        label: Some(("public/_nuxt/builds/latest.json", "id")),
        notes: "server",
        immutable: Some(("public/_nuxt", "/_nuxt/")),
        // Which build is the newest.
        mutable: &["builds/latest.json"],
    },
    // Where its documentation puts them; 404 of its own where `nitro.experimental.websocket` is off.
    sockets: &["/_ws", "/_ws/*"],
    sources: &["app", "pages", "server", "app.vue", "src"],
    public_variables: &["NUXT_", "NITRO_", "VITE_"],
};

/// SvelteKit 2 with its adapter for Node.js.
pub static SVELTEKIT: Framework = Framework {
    name: "SvelteKit",
    package: "@sveltejs/kit",
    adapter: Some("@sveltejs/adapter-node"),
    build: tool("vite", "vite", &["build"]),
    dev: tool("vite", "vite", &["dev"]),
    start: Start {
        tool: None,
        scripts: &["node build", "node build/index.js", "vite preview"],
        // Without them it supposes https, takes each form over http for another site's, and the door for every client. One
        // value each: a list of addresses would have to be counted from its end (XFF_DEPTH).
        environment: &[
            ("PROTOCOL_HEADER", "x-forwarded-proto"),
            ("HOST_HEADER", "x-forwarded-host"),
            ("ADDRESS_HEADER", "x-real-ip"),
            ("KEEP_ALIVE_TIMEOUT", "75"),
        ],
        knows_no_proxy: false,
    },
    output: Output {
        folder: "build",
        written: &["index.js", "handler.js", "client/_app/version.json"],
        needed: 2,
        label: Some(("client/_app/version.json", "version")),
        notes: "server",
        immutable: Some(("client/_app/immutable", "/_app/immutable/")),
        mutable: &[],
    },
    sockets: &[],
    sources: &["src"],
    public_variables: &["PUBLIC_", "VITE_"],
};

/// React Router 7 as a framework.
pub static REACT_ROUTER: Framework = Framework {
    name: "React Router",
    package: "@react-router/dev",
    adapter: Some("@react-router/serve"),
    build: tool("@react-router/dev", "react-router", &["build"]),
    dev: tool("@react-router/dev", "react-router", &["dev"]),
    start: Start {
        tool: Some(tool("@react-router/serve", "react-router-serve", &["build/server/index.js"])),
        scripts: &["react-router-serve build/server/index.js"],
        environment: &[],
        knows_no_proxy: true,
    },
    output: VITE_OUTPUT,
    sockets: &[],
    sources: &["app", "src"],
    public_variables: &["VITE_"],
};

/// Remix 2 with Vite.
pub static REMIX: Framework = Framework {
    name: "Remix",
    package: "@remix-run/dev",
    adapter: Some("@remix-run/serve"),
    build: tool("@remix-run/dev", "remix", &["vite:build"]),
    dev: tool("@remix-run/dev", "remix", &["vite:dev"]),
    start: Start {
        tool: Some(tool("@remix-run/serve", "remix-serve", &["build/server/index.js"])),
        scripts: &["remix-serve build/server/index.js"],
        environment: &[],
        knows_no_proxy: true,
    },
    output: VITE_OUTPUT,
    sockets: &[],
    sources: &["app", "src"],
    public_variables: &["VITE_"],
};

const VITE_OUTPUT: Output = Output {
    folder: "build",
    written: &["server/index.js"],
    needed: 1,
    label: None,
    notes: "server",
    immutable: Some(("client/assets", "/assets/")),
    mutable: &[],
};

/// Astro 5 with its adapter for Node.js, `mode: "standalone"`.
pub static ASTRO: Framework = Framework {
    name: "Astro",
    package: "astro",
    adapter: Some("@astrojs/node"),
    build: tool("astro", "astro", &["build"]),
    dev: tool("astro", "astro", &["dev"]),
    start: Start {
        tool: None,
        scripts: &["node dist/server/entry.mjs", "astro preview"],
        environment: &[],
        knows_no_proxy: false,
    },
    output: Output {
        folder: "dist",
        written: &["server/entry.mjs"],
        needed: 1,
        label: None,
        notes: "server",
        immutable: Some(("client/_astro", "/_astro/")),
        mutable: &[],
    },
    sockets: &[],
    sources: &["src"],
    public_variables: &["PUBLIC_", "VITE_"],
};

/// Whatever else has a `start` script and listens where `PORT` says.
pub static OTHER: Framework = Framework {
    name: "Node.js",
    package: "",
    adapter: None,
    build: tool("", "", &[]),
    dev: tool("", "", &[]),
    start: Start { tool: None, scripts: &[], environment: &[], knows_no_proxy: false },
    output: Output { folder: "", written: &[], needed: 0, label: None, notes: "", immutable: None, mutable: &[] },
    sockets: &[],
    sources: &[],
    public_variables: &[],
};

/// All that are known by a package, in the order in which they are looked for.
pub static FRAMEWORKS: [&Framework; 6] = [&NEXT, &NUXT, &SVELTEKIT, &REACT_ROUTER, &REMIX, &ASTRO];

/// Where a manifest names packages: first those that are always installed.
pub const DEPENDENCIES: [&str; 4] = ["dependencies", "devDependencies", "optionalDependencies", "peerDependencies"];

/// Where Next.js looks for its config.
pub const NEXT_CONFIGS: [&str; 5] =
    ["next.config.js", "next.config.mjs", "next.config.cjs", "next.config.ts", "next.config.mts"];

/// Whether a configured folder of builds is the usual one, which stands for wherever the app puts them.
pub fn is_usual(dist: &Path) -> bool {
    dist == Path::new(NEXT.output.folder)
}

impl Framework {
    /// That of an app with this `package.json`; `None` where there is nothing to start.
    pub fn of(manifest: &Value) -> Option<&'static Framework> {
        let known = FRAMEWORKS.into_iter().find(|framework| lists(manifest, framework.package));
        known.or_else(|| manifest["scripts"]["start"].is_string().then_some(&OTHER))
    }

    /// That of the app in `folder`: what its manifest says, and [`NEXT`] where that says nothing. Blocks.
    pub fn in_folder(folder: &Path) -> &'static Framework {
        let manifest = std::fs::read(folder.join("package.json")).ok();
        let manifest = manifest.and_then(|text| serde_json::from_slice(&text).ok());
        manifest.as_ref().and_then(Framework::of).unwrap_or(&NEXT)
    }

    pub fn is_next(&self) -> bool {
        self.package == NEXT.package
    }

    /// Whether only its scripts say what it is: nobody knows where it puts a build, and whether there is another.
    pub fn is_other(&self) -> bool {
        self.package.is_empty()
    }

    /// The folder of its build below that of the project: as configured, where that is not the name that Next.js has.
    pub fn output<'a>(&self, configured: &'a Path) -> &'a Path {
        if is_usual(configured) { Path::new(self.output.folder) } else { configured }
    }

    /// Where its files lie that are answered as they are, below the project's folder.
    pub fn public_folder(&self) -> &'static str {
        if self == &SVELTEKIT { "static" } else { "public" }
    }

    /// The adapter that its manifest does not name, though nothing serves a build without it.
    pub fn missing_adapter(&self, manifest: &Value) -> Option<&'static str> {
        self.adapter.filter(|adapter| !lists(manifest, adapter))
    }

    /// Whether `path` may be one of the files that never change, of any framework.
    pub fn may_be_immutable(path: &str) -> bool {
        let (next, others) = FRAMEWORKS.split_first().expect("there are some");
        let prefix = |framework: &Framework| framework.output.immutable.map_or("/", |(_, prefix)| prefix);
        path.contains(prefix(next)) || others.iter().any(|framework| path.starts_with(prefix(framework)))
    }
}

impl Tool {
    /// As a script names it: `vite build`.
    pub fn words(&self) -> String {
        std::iter::once(self.program).chain(self.arguments.iter().copied()).collect::<Vec<_>>().join(" ")
    }
}

/// By name: there is one of each.
impl PartialEq for Framework {
    fn eq(&self, other: &Framework) -> bool {
        self.name == other.name
    }
}

impl Eq for Framework {}

impl fmt::Debug for Framework {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

fn lists(manifest: &Value, package: &str) -> bool {
    DEPENDENCIES.into_iter().any(|kind| manifest[kind][package].is_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_is_known_by_its_manifest() {
        for (manifest, expected) in [
            (r#"{ "dependencies": { "next": "16" } }"#, Some("Next.js")),
            (r#"{ "dependencies": { "nuxt": "^4.0.0", "vue": "latest" } }"#, Some("Nuxt")),
            (r#"{ "devDependencies": { "@sveltejs/kit": "^2", "vite": "7" } }"#, Some("SvelteKit")),
            (r#"{ "devDependencies": { "@react-router/dev": "^7" } }"#, Some("React Router")),
            (r#"{ "devDependencies": { "@remix-run/dev": "^2" } }"#, Some("Remix")),
            (r#"{ "dependencies": { "astro": "^5" } }"#, Some("Astro")),
            (r#"{ "scripts": { "start": "node server.js" } }"#, Some("Node.js")),
            (r#"{ "dependencies": { "react-router": "^7" } }"#, None),
            ("{}", None),
        ] {
            let manifest: Value = serde_json::from_str(manifest).unwrap();
            assert_eq!(Framework::of(&manifest).map(|it| it.name), expected, "{manifest}");
        }
    }

    #[test]
    fn only_paths_of_the_table_may_be_immutable() {
        for path in ["/docs/_next/static/a.js", "/_nuxt/a.js", "/_app/immutable/a.js", "/assets/a.js", "/_astro/a.css"]
        {
            assert!(Framework::may_be_immutable(path), "{path}");
        }
        for path in ["/", "/a/assets/b", "/_app/version.json", "/_next/data/x"] {
            assert!(!Framework::may_be_immutable(path), "{path}");
        }
    }
}
