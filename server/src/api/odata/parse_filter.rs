//! The grammar of `$filter`.
//!
//! ```text
//! filter   = or
//! or       = and *( "or" and )
//! and      = unary *( "and" unary )
//! unary    = "not" unary / primary
//! primary  = "(" or ")" / lambda / compare / boolcall / path
//! compare  = operand ( "eq" / "ne" / "gt" / "ge" / "lt" / "le" ) operand
//!          / operand "in" "(" literal *( "," literal ) ")"
//! boolcall = ( "contains" / "startswith" / "endswith" ) "(" operand "," operand ")"
//! operand  = literal / path / ( "tolower" / "toupper" / "trim" / "length" ) "(" operand ")"
//! lambda   = path "/" ( "any" / "all" ) "(" [ var ":" or ] ")"
//! path     = name *( "/" name )
//! ```

use super::{
    entity::{Element, Entity, PropertyPath},
    filter::{Comparison, Filter, NumberOperand, Operator, TextOperand, TextTest, TimeOperand},
    lexer::{Token, TokenKind, tokens},
};
use crate::api::{error::ApiError, resources::Importance, time::Timestamp};

/// How large a filter may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bounds {
    /// Its text.
    pub bytes: usize,
    /// Parentheses, functions and `not` within each other.
    pub depth: usize,
    /// Literals and properties.
    pub operands: usize,
}

/// Parses a filter.
///
/// # Errors
///
/// `bad_request` with the position, for anything that the grammar or the types of the properties
/// do not allow, and for what is too large.
pub fn parse_filter<E: Entity>(text: &str, bounds: Bounds) -> Result<Filter<E>, ApiError> {
    if text.len() > bounds.bytes {
        return Err(refuse("The filter is too long", bounds.bytes));
    }
    let tokens = tokens(text).map_err(|position| refuse("Syntax error", position))?;
    let mut parser = Parser {
        tokens: &tokens,
        next: 0,
        end: text.chars().count(),
        depth: 0,
        operands: 0,
        bounds,
    };
    let filter = parser.parse_or(&Scope::<E>::Item(E::property))?;
    match parser.peek() {
        None => Ok(filter),
        Some(_) => Err(parser.fail("Syntax error")),
    }
}

fn refuse(what: &str, position: usize) -> ApiError {
    let message = format!("{what} at position {position} in '$filter'.");
    ApiError::bad_request().with_message(message)
}

struct Parser<'a> {
    tokens: &'a [Token],
    next: usize,
    /// Position of the end.
    end: usize,
    depth: usize,
    operands: usize,
    bounds: Bounds,
}

/// What paths mean.
enum Scope<'a, E: Entity> {
    /// Properties of an item.
    Item(fn(&[&str]) -> Option<PropertyPath<E>>),
    /// Properties of what a variable stands for.
    Element {
        variable: String,
        property: &'a dyn Fn(&[&str]) -> Option<PropertyPath<E>>,
    },
}

impl<E: Entity> Scope<'_, E> {
    fn property(&self, path: &[&str]) -> Option<PropertyPath<E>> {
        match self {
            Self::Item(property) => property(path),
            Self::Element { variable, property } => match path {
                [first, rest @ ..] if first == variable => property(rest),
                _ => None,
            },
        }
    }
}

/// A value, by type.
enum Operand<E: Entity> {
    Null,
    Boolean(bool),
    Text(TextOperand<E>),
    Number(NumberOperand<E>),
    Time(Timestamp),
    Property(PropertyPath<E>),
    /// A property of a collection's elements, as if there were one.
    Element(E::Collection, PropertyPath<Element>),
}

impl Parser<'_> {
    fn peek(&self) -> Option<&TokenKind> {
        self.tokens.get(self.next).map(|token| &token.kind)
    }

    fn peek_word(&self) -> Option<&str> {
        match self.peek() {
            Some(TokenKind::Word(word)) => Some(word),
            Some(_) | None => None,
        }
    }

    fn is_call(&self) -> bool {
        let behind = self.tokens.get(self.next + 1).map(|token| &token.kind);
        behind == Some(&TokenKind::Open)
    }

    fn take(&mut self, kind: &TokenKind) -> Result<(), ApiError> {
        match self.peek() == Some(kind) {
            true => {
                self.next += 1;
                Ok(())
            }
            false => Err(self.fail("Syntax error")),
        }
    }

    fn take_word(&mut self, word: &str) -> bool {
        let is_next = self.peek_word() == Some(word);
        self.next += usize::from(is_next);
        is_next
    }

    /// An error at the next token.
    fn fail(&self, what: &str) -> ApiError {
        self.fail_at(what, self.next)
    }

    fn fail_at(&self, what: &str, token: usize) -> ApiError {
        let position = self
            .tokens
            .get(token)
            .map_or(self.end, |token| token.position);
        refuse(what, position)
    }

    fn descend<T>(
        &mut self,
        parse: impl FnOnce(&mut Self) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        if self.depth == self.bounds.depth {
            return Err(self.fail("Nested too deeply"));
        }
        self.depth += 1;
        let parsed = parse(self)?;
        self.depth -= 1;
        Ok(parsed)
    }

    fn parse_or<E: Entity>(&mut self, scope: &Scope<'_, E>) -> Result<Filter<E>, ApiError> {
        let mut terms = vec![self.parse_and(scope)?];
        while self.take_word("or") {
            terms.push(self.parse_and(scope)?);
        }
        Ok(one_or(terms, Filter::Or))
    }

    fn parse_and<E: Entity>(&mut self, scope: &Scope<'_, E>) -> Result<Filter<E>, ApiError> {
        let mut terms = vec![self.parse_unary(scope)?];
        while self.take_word("and") {
            terms.push(self.parse_unary(scope)?);
        }
        Ok(one_or(terms, Filter::And))
    }

    fn parse_unary<E: Entity>(&mut self, scope: &Scope<'_, E>) -> Result<Filter<E>, ApiError> {
        if self.take_word("not") {
            let filter = self.descend(|parser| parser.parse_unary(scope))?;
            return Ok(Filter::Not(Box::new(filter)));
        }
        self.parse_primary(scope)
    }

    fn parse_primary<E: Entity>(&mut self, scope: &Scope<'_, E>) -> Result<Filter<E>, ApiError> {
        if self.peek() == Some(&TokenKind::Open) {
            self.next += 1;
            let filter = self.descend(|parser| parser.parse_or(scope))?;
            self.take(&TokenKind::Close)?;
            return Ok(filter);
        }
        let test = match self.peek_word().filter(|_| self.is_call()) {
            Some("contains") => Some(TextTest::Contains),
            Some("startswith") => Some(TextTest::StartsWith),
            Some("endswith") => Some(TextTest::EndsWith),
            Some(_) | None => None,
        };
        if let Some(test) = test {
            return self.parse_match(scope, test);
        }
        if let Some(lambda) = self.parse_lambda(scope)? {
            return Ok(lambda);
        }
        let start = self.next;
        let left = self.parse_operand(scope)?;
        let operator = self.peek_word().and_then(Operator::parse);
        if let Some(operator) = operator {
            self.next += 1;
            let right = self.parse_operand(scope)?;
            let compared = compare(left, operator, right);
            return compared.ok_or_else(|| self.fail_at("Incomparable types", start));
        }
        if self.take_word("in") {
            return self.parse_in(scope, left, start);
        }
        match left {
            Operand::Property(PropertyPath::Boolean(property)) => Ok(Filter::Is(property)),
            Operand::Boolean(value) => Ok(Filter::Constant(value)),
            Operand::Null
            | Operand::Text(_)
            | Operand::Number(_)
            | Operand::Time(_)
            | Operand::Property(_)
            | Operand::Element(..) => Err(self.fail("A comparison is missing")),
        }
    }

    fn parse_match<E: Entity>(
        &mut self,
        scope: &Scope<'_, E>,
        test: TextTest,
    ) -> Result<Filter<E>, ApiError> {
        let start = self.next;
        self.next += 1;
        self.take(&TokenKind::Open)?;
        let text = self.descend(|parser| parser.parse_operand(scope))?;
        self.take(&TokenKind::Comma)?;
        let pattern = self.descend(|parser| parser.parse_operand(scope))?;
        self.take(&TokenKind::Close)?;
        let pattern = into_text(pattern);
        if let (Operand::Element(collection, PropertyPath::Text(text)), Some(pattern)) =
            (&text, pattern.as_ref().and_then(literal))
        {
            let filter = Filter::Match {
                test,
                text: TextOperand::Property(*text),
                pattern: TextOperand::Literal(pattern),
            };
            return Ok(Filter::Any(*collection, Some(Box::new(filter))));
        }
        match (into_text(text), pattern) {
            (Some(text), Some(pattern)) => Ok(Filter::Match {
                test,
                text,
                pattern,
            }),
            (_, _) => Err(self.fail_at("A text is needed", start)),
        }
    }

    /// `path/any(…)` or `path/all(…)`, if that comes next.
    fn parse_lambda<E: Entity>(
        &mut self,
        scope: &Scope<'_, E>,
    ) -> Result<Option<Filter<E>>, ApiError> {
        let start = self.next;
        let mut path = self.parse_path();
        let quantifier = path.pop().filter(|_| self.peek() == Some(&TokenKind::Open));
        let is_any = match quantifier.as_deref() {
            Some("any") => true,
            Some("all") => false,
            Some(_) | None => {
                self.next = start;
                return Ok(None);
            }
        };
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        let Some(PropertyPath::Collection(collection)) = scope.property(&names) else {
            return Err(self.fail_at("A collection is needed", start));
        };
        self.take(&TokenKind::Open)?;
        if is_any && self.peek() == Some(&TokenKind::Close) {
            self.next += 1;
            return Ok(Some(Filter::Any(collection, None)));
        }
        let variable = self.peek_word().map(str::to_owned);
        let variable = variable.ok_or_else(|| self.fail("A variable is missing"))?;
        self.next += 1;
        self.take(&TokenKind::Colon)?;
        let property = |path: &[&str]| E::element(collection, path);
        let inner: Scope<'_, Element> = Scope::Element {
            variable,
            property: &property,
        };
        let filter = self.descend(|parser| parser.parse_or(&inner))?;
        self.take(&TokenKind::Close)?;
        let filter = Box::new(filter);
        Ok(Some(match is_any {
            true => Filter::Any(collection, Some(filter)),
            false => Filter::All(collection, filter),
        }))
    }

    /// Names with slashes between them; empty when there is none.
    fn parse_path(&mut self) -> Vec<String> {
        let mut path = Vec::new();
        while let Some(word) = self.peek_word().map(str::to_owned) {
            self.next += 1;
            path.push(word);
            match self.peek() {
                Some(TokenKind::Slash) => self.next += 1,
                Some(_) | None => return path,
            }
        }
        path
    }

    fn parse_in<E: Entity>(
        &mut self,
        scope: &Scope<'_, E>,
        left: Operand<E>,
        start: usize,
    ) -> Result<Filter<E>, ApiError> {
        self.take(&TokenKind::Open)?;
        let mut terms = Vec::new();
        loop {
            let right = self.parse_operand(scope)?;
            let is_literal = !matches!(right, Operand::Property(_) | Operand::Element(..));
            let compared = compare(copy(&left), Operator::Eq, right).filter(|_| is_literal);
            terms.push(compared.ok_or_else(|| self.fail_at("Incomparable types", start))?);
            if self.peek() != Some(&TokenKind::Comma) {
                break;
            }
            self.next += 1;
        }
        self.take(&TokenKind::Close)?;
        Ok(one_or(terms, Filter::Or))
    }

    fn parse_operand<E: Entity>(&mut self, scope: &Scope<'_, E>) -> Result<Operand<E>, ApiError> {
        self.operands += 1;
        if self.operands > self.bounds.operands {
            return Err(self.fail("Too many operands"));
        }
        let literal = match self.peek() {
            Some(TokenKind::Text(text)) => Operand::Text(TextOperand::Literal(text.clone())),
            Some(TokenKind::Integer(number)) => Operand::Number(NumberOperand::Literal(*number)),
            Some(TokenKind::Time(time)) => Operand::Time(*time),
            Some(TokenKind::Word(word)) => match word.as_str() {
                "true" => Operand::Boolean(true),
                "false" => Operand::Boolean(false),
                "null" => Operand::Null,
                _ if self.is_call() => return self.parse_function(scope),
                _ => return self.parse_property(scope),
            },
            Some(
                TokenKind::Open
                | TokenKind::Close
                | TokenKind::Comma
                | TokenKind::Slash
                | TokenKind::Colon,
            )
            | None => return Err(self.fail("Syntax error")),
        };
        self.next += 1;
        Ok(literal)
    }

    fn parse_function<E: Entity>(&mut self, scope: &Scope<'_, E>) -> Result<Operand<E>, ApiError> {
        let start = self.next;
        let name = self.peek_word().unwrap_or_default().to_owned();
        if !["tolower", "toupper", "trim", "length"].contains(&name.as_str()) {
            return Err(self.fail("Unknown function"));
        }
        self.next += 1;
        self.take(&TokenKind::Open)?;
        let operand = self.descend(|parser| parser.parse_operand(scope))?;
        self.take(&TokenKind::Close)?;
        let text = into_text(operand).ok_or_else(|| self.fail_at("A text is needed", start))?;
        Ok(match name.as_str() {
            "length" => Operand::Number(NumberOperand::Length(text)),
            "trim" => Operand::Text(TextOperand::Trimmed(Box::new(text))),
            _ => Operand::Text(text),
        })
    }

    fn parse_property<E: Entity>(&mut self, scope: &Scope<'_, E>) -> Result<Operand<E>, ApiError> {
        let start = self.next;
        let path = self.parse_path();
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        if let Some(property) = scope.property(&names) {
            return Ok(Operand::Property(property));
        }
        // `toRecipients/emailAddress/address eq 'x'`, without `any`.
        if let [first, rest @ ..] = names.as_slice()
            && let Some(PropertyPath::Collection(collection)) = scope.property(&[first])
            && let Some(property) = E::element(collection, rest)
        {
            return Ok(Operand::Element(collection, property));
        }
        let what = format!(
            "Unknown property '{}'",
            crate::api::error::shorten(&path.join("/"))
        );
        Err(self.fail_at(&what, start))
    }
}

fn one_or<E: Entity>(
    mut terms: Vec<Filter<E>>,
    several: fn(Vec<Filter<E>>) -> Filter<E>,
) -> Filter<E> {
    match terms.len() {
        1 => terms.remove(0),
        _ => several(terms),
    }
}

fn literal<E: Entity>(text: &TextOperand<E>) -> Option<String> {
    match text {
        TextOperand::Literal(text) => Some(text.clone()),
        TextOperand::Property(_) | TextOperand::Trimmed(_) => None,
    }
}

fn into_text<E: Entity>(operand: Operand<E>) -> Option<TextOperand<E>> {
    match operand {
        Operand::Text(text) => Some(text),
        Operand::Property(PropertyPath::Text(property)) => Some(TextOperand::Property(property)),
        Operand::Null
        | Operand::Boolean(_)
        | Operand::Number(_)
        | Operand::Time(_)
        | Operand::Property(_)
        | Operand::Element(..) => None,
    }
}

fn into_number<E: Entity>(operand: Operand<E>) -> Option<NumberOperand<E>> {
    match operand {
        Operand::Number(number) => Some(number),
        Operand::Property(PropertyPath::Number(property)) => {
            Some(NumberOperand::Property(property))
        }
        Operand::Null
        | Operand::Boolean(_)
        | Operand::Text(_)
        | Operand::Time(_)
        | Operand::Property(_)
        | Operand::Element(..) => None,
    }
}

fn into_time<E: Entity>(operand: Operand<E>) -> Option<TimeOperand<E>> {
    match operand {
        Operand::Time(time) => Some(TimeOperand::Literal(time)),
        Operand::Property(PropertyPath::Time(property)) => Some(TimeOperand::Property(property)),
        Operand::Null
        | Operand::Boolean(_)
        | Operand::Text(_)
        | Operand::Number(_)
        | Operand::Property(_)
        | Operand::Element(..) => None,
    }
}

fn copy<E: Entity>(operand: &Operand<E>) -> Operand<E> {
    match operand {
        Operand::Null => Operand::Null,
        Operand::Boolean(value) => Operand::Boolean(*value),
        Operand::Text(text) => Operand::Text(text.clone()),
        Operand::Number(number) => Operand::Number(number.clone()),
        Operand::Time(time) => Operand::Time(*time),
        Operand::Property(property) => Operand::Property(*property),
        Operand::Element(collection, property) => Operand::Element(*collection, *property),
    }
}

/// The comparison, if these can be compared.
fn compare<E: Entity>(
    left: Operand<E>,
    operator: Operator,
    right: Operand<E>,
) -> Option<Filter<E>> {
    match (left, right) {
        (Operand::Null, Operand::Null) => {
            let holds = matches!(operator, Operator::Eq | Operator::Ge | Operator::Le);
            Some(Filter::Constant(holds))
        }
        (Operand::Null, other) | (other, Operand::Null) => compare_null(other, operator),
        (Operand::Element(collection, property), value) => {
            compare_element(collection, property, operator, value)
        }
        (value, Operand::Element(collection, property)) => {
            compare_element(collection, property, operator.flipped(), value)
        }
        (Operand::Property(PropertyPath::Rank(property)), Operand::Text(text)) => {
            compare_rank(property, operator, &text)
        }
        (Operand::Text(text), Operand::Property(PropertyPath::Rank(property))) => {
            compare_rank(property, operator.flipped(), &text)
        }
        (left, right) => compare_same(left, operator, right),
    }
}

/// What is of one type on both sides.
fn compare_same<E: Entity>(
    left: Operand<E>,
    operator: Operator,
    right: Operand<E>,
) -> Option<Filter<E>> {
    if let (Some(left), Some(right)) = (boolean(&left), boolean(&right)) {
        return compare_booleans(left, operator, right);
    }
    let [left_again, left_once_more] = [copy(&left), copy(&left)];
    let [right_again, right_once_more] = [copy(&right), copy(&right)];
    if let (Some(left), Some(right)) = (into_text(left), into_text(right)) {
        return Some(Filter::Text(Comparison {
            left,
            operator,
            right,
        }));
    }
    if let (Some(left), Some(right)) = (into_time(left_again), into_time(right_again)) {
        return Some(Filter::Time(Comparison {
            left,
            operator,
            right,
        }));
    }
    let (left, right) = (into_number(left_once_more)?, into_number(right_once_more)?);
    Some(Filter::Number(Comparison {
        left,
        operator,
        right,
    }))
}

fn boolean<E: Entity>(operand: &Operand<E>) -> Option<Filter<E>> {
    match operand {
        Operand::Boolean(value) => Some(Filter::Constant(*value)),
        Operand::Property(PropertyPath::Boolean(property)) => Some(Filter::Is(*property)),
        Operand::Null
        | Operand::Text(_)
        | Operand::Number(_)
        | Operand::Time(_)
        | Operand::Property(_)
        | Operand::Element(..) => None,
    }
}

/// Truth has no order.
fn compare_booleans<E: Entity>(
    left: Filter<E>,
    operator: Operator,
    right: Filter<E>,
) -> Option<Filter<E>> {
    let is_equal = match operator {
        Operator::Eq => true,
        Operator::Ne => false,
        Operator::Gt | Operator::Ge | Operator::Lt | Operator::Le => return None,
    };
    let not = |filter| Filter::Not(Box::new(filter));
    Some(match (left, right) {
        (Filter::Constant(left), Filter::Constant(right)) => {
            Filter::Constant((left == right) == is_equal)
        }
        (Filter::Constant(value), property) | (property, Filter::Constant(value)) => {
            match value == is_equal {
                true => property,
                false => not(property),
            }
        }
        (left, right) => {
            let both = Filter::And(vec![left.clone(), right.clone()]);
            let neither = Filter::And(vec![not(left), not(right)]);
            let equal = Filter::Or(vec![both, neither]);
            match is_equal {
                true => equal,
                false => not(equal),
            }
        }
    })
}

/// `null eq` matches absent values; ordered comparisons with null are false.
fn compare_null<E: Entity>(operand: Operand<E>, operator: Operator) -> Option<Filter<E>> {
    let absent = match operand {
        Operand::Property(PropertyPath::Text(property)) => Filter::TextAbsent(property),
        Operand::Property(PropertyPath::Time(property)) => Filter::TimeAbsent(property),
        // These are always there.
        Operand::Property(
            PropertyPath::Boolean(_) | PropertyPath::Number(_) | PropertyPath::Rank(_),
        )
        | Operand::Boolean(_)
        | Operand::Text(TextOperand::Literal(_))
        | Operand::Number(_)
        | Operand::Time(_) => Filter::Constant(false),
        Operand::Null
        | Operand::Text(_)
        | Operand::Property(PropertyPath::Collection(_))
        | Operand::Element(..) => return None,
    };
    Some(match operator {
        Operator::Eq => absent,
        Operator::Ne => Filter::Not(Box::new(absent)),
        Operator::Gt | Operator::Ge | Operator::Lt | Operator::Le => Filter::Constant(false),
    })
}

fn compare_rank<E: Entity>(
    property: E::Rank,
    operator: Operator,
    text: &TextOperand<E>,
) -> Option<Filter<E>> {
    let importance = literal(text).and_then(|text| Importance::parse(&text))?;
    Some(Filter::Rank(property, operator, importance))
}

/// One element at least, compared with a literal.
fn compare_element<E: Entity>(
    collection: E::Collection,
    property: PropertyPath<Element>,
    operator: Operator,
    value: Operand<E>,
) -> Option<Filter<E>> {
    let value: Operand<Element> = match value {
        Operand::Text(TextOperand::Literal(text)) => Operand::Text(TextOperand::Literal(text)),
        Operand::Number(NumberOperand::Literal(number)) => {
            Operand::Number(NumberOperand::Literal(number))
        }
        Operand::Null
        | Operand::Boolean(_)
        | Operand::Text(_)
        | Operand::Number(_)
        | Operand::Time(_)
        | Operand::Property(_)
        | Operand::Element(..) => return None,
    };
    let filter = compare(Operand::Property(property), operator, value)?;
    Some(Filter::Any(collection, Some(Box::new(filter))))
}

#[cfg(test)]
mod tests;
