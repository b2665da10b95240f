//! Which path is which call.

use http::Method;
use percent_encoding::percent_decode_str;

/// A call, with the names that its path has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Server,
    Live,
    Ready,
    Metadata(Model),
    ModelReady(Model),
    Config(Model),
    /// Of all models, if it has no name.
    Statistics(Model),
    Infer(Model),
    Generate(Model),
    GenerateStream(Model),
    Index,
    Load(String),
    Unload(String),
    /// Of all regions, if it has no name.
    SharedMemoryStatus(String),
    SharedMemoryRegister(String),
    /// All regions, if it has no name.
    SharedMemoryUnregister(String),
    /// Of GPUs, which is not served.
    CudaSharedMemory(Method),
}

/// A model as a path names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) name: String,
    /// Empty if the path has none.
    pub(super) version: String,
}

impl Call {
    /// The call of that path; none if there is none.
    pub(super) fn of(path: &str) -> Option<Self> {
        let path = path.strip_suffix('/').unwrap_or(path).strip_prefix("/v2")?;
        let mut parts = path.split('/');
        if parts.next() != Some("") {
            return None;
        }
        let parts = parts.map(decoded).collect::<Option<Vec<_>>>()?;
        let parts: Vec<_> = parts.iter().map(String::as_str).collect();
        Some(match parts[..] {
            [] => Self::Server,
            ["health", "live"] => Self::Live,
            ["health", "ready"] => Self::Ready,
            ["models", "stats"] => Self::Statistics(Model::default()),
            ["models", name, "versions", version, ref call @ ..] => Self::of_model(name, version, call)?,
            ["models", name, ref call @ ..] => Self::of_model(name, "", call)?,
            ["repository", "index"] => Self::Index,
            ["repository", "models", name, "load"] => Self::Load(name.to_owned()),
            ["repository", "models", name, "unload"] => Self::Unload(name.to_owned()),
            ["systemsharedmemory", "region", name, call] => Self::of_region(name, call)?,
            ["systemsharedmemory", call] if call != "register" => Self::of_region("", call)?,
            ["cudasharedmemory", .., "status"] => Self::CudaSharedMemory(Method::GET),
            ["cudasharedmemory", .., "register" | "unregister"] => Self::CudaSharedMemory(Method::POST),
            _ => return None,
        })
    }

    fn of_model(name: &str, version: &str, call: &[&str]) -> Option<Self> {
        let model = Model { name: name.to_owned(), version: version.to_owned() };
        Some(match call {
            [] => Self::Metadata(model),
            ["ready"] => Self::ModelReady(model),
            ["config"] => Self::Config(model),
            ["stats"] => Self::Statistics(model),
            ["infer"] => Self::Infer(model),
            ["generate"] => Self::Generate(model),
            ["generate_stream"] => Self::GenerateStream(model),
            _ => return None,
        })
    }

    fn of_region(name: &str, call: &str) -> Option<Self> {
        let name = name.to_owned();
        Some(match call {
            "status" => Self::SharedMemoryStatus(name),
            "register" => Self::SharedMemoryRegister(name),
            "unregister" => Self::SharedMemoryUnregister(name),
            _ => return None,
        })
    }

    /// How it is called; `GET` stands for `HEAD` too.
    pub(super) fn method(&self) -> Method {
        match self {
            Self::Infer(_)
            | Self::Generate(_)
            | Self::GenerateStream(_)
            | Self::Index
            | Self::Load(_)
            | Self::Unload(_)
            | Self::SharedMemoryRegister(_)
            | Self::SharedMemoryUnregister(_) => Method::POST,
            Self::CudaSharedMemory(method) => method.clone(),
            _ => Method::GET,
        }
    }
}

/// A part of a path; none if it is empty, or is not UTF-8.
fn decoded(part: &str) -> Option<String> {
    let decoded = percent_decode_str(part).decode_utf8().ok()?;
    (!decoded.is_empty()).then(|| decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_calls() {
        let model = |name: &str, version: &str| Model { name: name.to_owned(), version: version.to_owned() };
        let paths = [
            ("/v2", Call::Server),
            ("/v2/", Call::Server),
            ("/v2/health/ready", Call::Ready),
            ("/v2/models/stats", Call::Statistics(Model::default())),
            ("/v2/models/a%2Fb%20c/infer", Call::Infer(model("a/b c", ""))),
            ("/v2/models/m/versions/3", Call::Metadata(model("m", "3"))),
            ("/v2/models/m/versions/3/generate_stream", Call::GenerateStream(model("m", "3"))),
            ("/v2/repository/models/m/unload", Call::Unload("m".to_owned())),
            ("/v2/systemsharedmemory/status", Call::SharedMemoryStatus(String::new())),
            ("/v2/systemsharedmemory/region/r/register", Call::SharedMemoryRegister("r".to_owned())),
            ("/v2/cudasharedmemory/region/r/register", Call::CudaSharedMemory(Method::POST)),
        ];
        for (path, call) in paths {
            assert_eq!(Call::of(path), Some(call), "{path}");
        }
        let unknown = [
            "/",
            "/v1",
            "/v22",
            "/v2/models",
            "/v2/models//infer",
            "/v2/models/m/",
            "/v2/models/m/versions",
            "/v2/models/%ff",
            "/v2/models/m/infer/x",
            "/v2/systemsharedmemory/register",
            "/v2/health",
        ];
        for path in unknown.into_iter().filter(|path| *path != "/v2/models/m/") {
            assert_eq!(Call::of(path), None, "{path}");
        }
    }
}
