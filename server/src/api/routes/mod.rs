//! Which endpoints there are, as data, and which of them a request means.

mod path;
mod table;
mod template;

use rmail_proto::http::{Method, Status};

use super::{
    error::{ApiError, Family},
    schema::Schema,
};

pub use path::Path;
pub use table::{ROUTES, RouteName};
pub use template::{Param, Part, Pattern, expand};

/// One endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// Its name, for those who carry it out, and its `operationId`.
    pub name: RouteName,
    /// The method; HEAD works wherever GET does.
    pub method: Method,
    /// The path; see [`template`] for its language.
    pub template: &'static str,
    /// What a token must allow.
    pub scope: Scope,
    /// How errors are told.
    pub family: Family,
    /// What content it takes.
    pub takes: Takes,
    /// What it answers when all is well.
    pub gives: Gives,
}

/// What a token must allow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scope {
    /// No token is looked at.
    Open,
    /// `mail`
    Mail,
    /// `admin`
    Admin,
}

/// The content of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Takes {
    /// None; what comes is passed over.
    Nothing,
    /// JSON. It may be absent where the schema requires nothing.
    Json(Schema),
    /// The same, small: a login.
    Login(Schema),
    /// JSON that may carry attachments.
    Message(Schema),
    /// The same, or a message in base64 as `text/plain`.
    MessageOrMime(Schema),
    /// A message in base64 within JSON.
    Raw(Schema),
    /// JSON with requests within.
    Batch(Schema),
    /// A range of an upload.
    Range,
    /// A document for the set-up of a client.
    Xml,
}

/// The answer when all is well.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Gives {
    /// A status alone.
    Nothing(Status),
    /// JSON.
    Json(Status, Schema),
    /// 200 with JSON: a collection of these.
    Collection(Schema),
    /// 200 with something of this type.
    Content(&'static str),
}

/// An endpoint that a request means.
#[derive(Clone, Debug)]
pub struct Matched {
    /// The endpoint.
    pub route: &'static Route,
    /// What the path says, in order.
    pub params: Vec<(Param, String)>,
}

impl Matched {
    /// What the path says in this place.
    pub fn param(&self, param: Param) -> Option<&str> {
        let found = self.params.iter().find(|(known, _)| *known == param);
        found.map(|(_, value)| value.as_str())
    }
}

/// Finds endpoints.
#[derive(Debug)]
pub struct Router {
    entries: Vec<(&'static Route, Pattern)>,
}

impl Default for Router {
    fn default() -> Self {
        Self::new()
    }
}

impl Router {
    /// Over all [`ROUTES`].
    pub fn new() -> Self {
        let expand = |route: &'static Route| {
            let patterns = expand(route.template);
            patterns.into_iter().map(move |pattern| (route, pattern))
        };
        Self {
            entries: ROUTES.iter().flat_map(expand).collect(),
        }
    }

    /// The endpoint that a method and a path (percent-encoded, without query) mean. Where several
    /// patterns fit a path, the one counts that spells out most, from the front.
    ///
    /// # Errors
    ///
    /// `path_not_found` or `unknown_segment`, `method_not_allowed`, `bad_request` for a path that
    /// can't be decoded.
    pub fn find(&self, method: Method, path: &str) -> Result<Matched, ApiError> {
        let path = Path::parse(path).ok_or_else(ApiError::bad_request)?;
        let fitting = self
            .entries
            .iter()
            .filter(|(_, pattern)| pattern.fits(&path));
        let best = fitting.clone().map(|(_, pattern)| pattern.rank()).max();
        let Some(best) = best else {
            return Err(self.not_found(&path));
        };
        let fitting = fitting.filter(|(_, pattern)| pattern.rank() == best);
        let looked_for = match method {
            Method::Head => Method::Get,
            Method::Get
            | Method::Post
            | Method::Put
            | Method::Patch
            | Method::Delete
            | Method::Options
            | Method::Trace
            | Method::Query => method,
        };
        let mut found = fitting
            .clone()
            .filter(|(route, _)| route.method == looked_for);
        if let Some((route, pattern)) = found.next() {
            return Ok(Matched {
                route,
                params: pattern.params(&path),
            });
        }
        let mut methods: Vec<Method> = fitting.map(|(route, _)| route.method).collect();
        if methods.contains(&Method::Get) {
            methods.push(Method::Head);
        }
        methods.push(Method::Options);
        methods.sort_unstable();
        methods.dedup();
        Err(ApiError::allow(methods))
    }

    fn not_found(&self, path: &Path) -> ApiError {
        if family_of(path) != Family::Graph {
            return ApiError::path_not_found();
        }
        let fitted = self
            .entries
            .iter()
            .map(|(_, pattern)| pattern.fitting_segments(path));
        let known = fitted.max().unwrap_or_default();
        ApiError::unknown_segment(path.segment(known).unwrap_or_default())
    }
}

/// The family of a path (percent-encoded), whether there is such an endpoint or not.
pub fn family(path: &str) -> Family {
    // What comes behind may be broken.
    let path = path.strip_prefix('/').unwrap_or(path);
    let (first, _) = path.split_once('/').unwrap_or((path, ""));
    Path::parse(first).map_or(Family::Native, |path| family_of(&path))
}

fn family_of(path: &Path) -> Family {
    let first = path.segment(0).unwrap_or_default().to_ascii_lowercase();
    match first.as_str() {
        "v1.0" => Family::Graph,
        "mail" | ".well-known" | "autodiscover" | "email.mobileconfig" => Family::Discovery,
        _ => Family::Native,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn find(method: Method, path: &str) -> Result<(RouteName, Vec<String>), ApiError> {
        let matched = Router::new().find(method, path)?;
        let values = matched.params.into_iter().map(|(_, value)| value).collect();
        Ok((matched.route.name, values))
    }

    fn get(path: &str) -> (RouteName, Vec<String>) {
        find(Method::Get, path).unwrap_or_else(|error| panic!("{path}: {error:?}"))
    }

    #[test]
    fn every_route_is_found_by_each_of_its_paths() {
        let router = Router::new();
        for route in &ROUTES {
            for pattern in expand(route.template) {
                let path = pattern.write(|param| format!("some-{param:?}"));
                let matched = router.find(route.method, &path).unwrap();
                assert_eq!(matched.route.name, route.name, "{path}");
                let params = pattern.params(&Path::parse(&path).unwrap());
                assert_eq!(matched.params, params, "{path}");
            }
        }
    }

    #[test]
    fn names_are_those_of_one_endpoint_each() {
        let names: BTreeSet<RouteName> = ROUTES.iter().map(|route| route.name).collect();
        assert_eq!(names.len(), ROUTES.len());
    }

    #[test]
    fn keys_come_in_two_spellings() {
        for path in [
            "/v1.0/users/alice%40example.test/mailFolders/F1/messages/M1",
            "/v1.0/users('alice@example.test')/mailFolders('F1')/messages('M1')",
            "/v1.0/users(%27alice%40example.test%27)/mailfolders/F1/MESSAGES('M1')",
            "/V1.0/USERS/alice@example.test/mailFolders('F1')/messages/M1",
        ] {
            let (name, values) = get(path);
            assert_eq!(name, RouteName::GetMessage, "{path}");
            assert_eq!(values, ["alice@example.test", "F1", "M1"], "{path}");
        }
        let (_, values) = get("/v1.0/users('o''neil@example.test')");
        assert_eq!(values, ["o'neil@example.test"]);
    }

    #[test]
    fn ids_keep_their_case_and_are_decoded_once() {
        assert_eq!(get("/v1.0/me/messages/AbC%3D").1, ["AbC="]);
        assert_eq!(get("/v1.0/me/messages/a%252Fb").1, ["a%2Fb"]);
        assert_eq!(get("/folders/Archive%2F2026/messages").1, ["Archive/2026"]);
        assert_eq!(get("/folders/a('b')/messages").1, ["a('b')"]);
    }

    #[test]
    fn functions_come_bare_with_parentheses_or_with_a_namespace() {
        for function in [
            "delta",
            "delta()",
            "microsoft.graph.delta()",
            "Microsoft.Graph.Delta",
        ] {
            let path = format!("/v1.0/me/mailFolders('inbox')/messages/{function}");
            assert_eq!(get(&path).0, RouteName::GetMessageDelta, "{path}");
        }
        let action = "/v1.0/me/messages/M1/microsoft.graph.move";
        assert_eq!(
            find(Method::Post, action).unwrap().0,
            RouteName::MoveMessage
        );
    }

    #[test]
    fn what_is_spelled_out_counts_before_what_is_not() {
        assert_eq!(
            get("/v1.0/me/mailFolders/delta").0,
            RouteName::GetFolderDelta
        );
        assert_eq!(get("/v1.0/me/mailFolders/deltas").0, RouteName::GetFolder);
        assert_eq!(get("/v1.0/me/messages/$count").0, RouteName::CountMessages);
        assert_eq!(
            get("/v1.0/me/messages/%24count").0,
            RouteName::CountMessages
        );
        assert_eq!(get("/v1.0/me").0, RouteName::GetUser);
        assert_eq!(
            find(Method::Post, "/messages/send").unwrap().0,
            RouteName::SendNative
        );
    }

    #[test]
    fn wrong_method_names_the_right_ones() {
        let error = find(Method::Put, "/v1.0/me/messages/M1").unwrap_err();
        let methods = vec![
            Method::Get,
            Method::Head,
            Method::Patch,
            Method::Delete,
            Method::Options,
        ];
        assert_eq!(error, ApiError::allow(methods));
        let error = find(Method::Get, "/v1.0/me/sendMail").unwrap_err();
        assert_eq!(error, ApiError::allow(vec![Method::Post, Method::Options]));
        for method in [Method::Trace, Method::Query] {
            let error = find(method, "/v1.0/me/sendMail").unwrap_err();
            assert_eq!(error, ApiError::allow(vec![Method::Post, Method::Options]));
        }
    }

    #[test]
    fn head_is_get() {
        assert_eq!(find(Method::Head, "/health").unwrap().0, RouteName::Health);
        assert!(find(Method::Head, "/auth/login").is_err());
    }

    #[test]
    fn unknown_paths_are_told_in_their_familys_way() {
        let segment = |path: &str| find(Method::Get, path).unwrap_err().message().to_owned();
        assert_eq!(
            segment("/v1.0/x"),
            "Resource not found for the segment 'x'."
        );
        assert_eq!(
            segment("/v1.0/me/calendar/y"),
            "Resource not found for the segment 'calendar'."
        );
        assert_eq!(
            segment("/v1.0/me/messages/M/z"),
            "Resource not found for the segment 'z'."
        );
        for path in ["/", "/x", "/folders/a/b", "//", "/folders/", "*"] {
            assert_eq!(
                find(Method::Get, path).unwrap_err(),
                ApiError::path_not_found(),
                "{path}"
            );
        }
        assert_eq!(family("/v1.0/x"), Family::Graph);
        assert_eq!(family("/V1.0"), Family::Graph);
        assert_eq!(family("/v1.0/%"), Family::Graph);
        assert_eq!(family("/%/v1.0"), Family::Native);
        assert_eq!(family("/autodiscover/x"), Family::Discovery);
        assert_eq!(family("/v1.0x"), Family::Native);
    }

    #[test]
    fn paths_that_can_not_be_decoded_are_refused() {
        for path in [
            "/folders/%ff",
            "/folders/%00",
            "/folders/a%0d%0ab",
            "/folders/%zz",
        ] {
            assert_eq!(
                find(Method::Get, path).unwrap_err(),
                ApiError::bad_request(),
                "{path}"
            );
        }
    }

    #[test]
    fn only_discovery_health_logins_and_uploads_are_open() {
        for route in ROUTES.iter().filter(|route| route.scope == Scope::Open) {
            let is_open = route.family == Family::Discovery
                || [
                    "/health",
                    "/openapi.json",
                    "/auth/login",
                    "/oauth2/v2.0/token",
                ]
                .contains(&route.template)
                || route.template.starts_with("/v1.0/uploads/");
            assert!(is_open, "{}", route.template);
        }
    }
}
