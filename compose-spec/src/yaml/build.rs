//! Builds the tree from the parser's events, iteratively, within [`Limits`].

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, StructureStyle, Tag};

use super::{
    Mapping, Mark, Node, Scalar, ScalarTag, Value,
    keys::{self, PendingKey},
    syntax::syntax_error,
};
use crate::diagnostic::{Code, Diagnostic, Sink, SourceId, Span};

/// Deepest nesting, aliases included. The passes over the tree recurse, so this also bounds their stack.
const DEPTH_MAX: u16 = 100;
/// Most nodes of one document after aliases are expanded.
const NODES_MAX: u32 = 150_000;
/// Most bytes of text of one document after aliases are expanded.
const TEXT_BYTES_MAX: u64 = 32 << 20;

/// What a subtree costs when an alias repeats it.
#[derive(Debug, Clone, Copy, Default)]
struct Weight {
    nodes: u32,
    text_bytes: u64,
    height: u16,
}

/// A node whose cost is known.
type Weighed = (Node, Weight);

/// Reads every document of a file. Errors go to the sink; what was read before a syntax error is dropped, because half a
/// document would only produce misleading errors.
pub(crate) fn parse(source: SourceId, text: &str, sink: &mut Sink) -> Vec<Node> {
    let mut builder = Builder::new(source, sink);
    let options = granit_parser::options! {
        flow_nesting_limit: usize::from(DEPTH_MAX),
        block_nesting_limit: usize::from(DEPTH_MAX),
        emit_unresolved_aliases: true,
    };
    for item in Parser::new_from_str_with_options(text, options) {
        let outcome = match item {
            Ok((event, span)) => {
                let span = builder.span(&span);
                builder.event(event, span)
            }
            Err(error) => {
                let at = error.marker().byte_offset().unwrap_or(0).min(text.len());
                Err(Box::new(syntax_error(error.kind(), source, at, text)))
            }
        };
        if let Err(diagnostic) = outcome {
            builder.sink.push(*diagnostic);
            return Vec::new();
        }
    }
    builder.documents
}

/// An unfinished list or mapping.
struct Frame {
    kind: FrameKind,
    /// Written with brackets: the closing one is its end. Otherwise it ends with its last value.
    flow: bool,
    span: Span,
    mark: Mark,
    anchor: usize,
    weight: Weight,
}

impl Frame {
    fn new(kind: FrameKind, style: StructureStyle, span: Span, mark: Mark, anchor: usize) -> Self {
        let weight = Weight {
            nodes: 1,
            text_bytes: 0,
            height: 1,
        };
        Self {
            kind,
            flow: style == StructureStyle::Flow,
            span,
            mark,
            anchor,
            weight,
        }
    }
}

enum FrameKind {
    Sequence(Vec<Node>),
    Mapping {
        mapping: Mapping,
        key: Option<PendingKey>,
        merge: Option<(Span, Node)>,
    },
}

struct Builder<'s> {
    source: SourceId,
    sink: &'s mut Sink,
    frames: Vec<Frame>,
    anchors: HashMap<usize, Weighed>,
    documents: Vec<Node>,
    nodes: u32,
    text_bytes: u64,
}

type Outcome = Result<(), Box<Diagnostic>>;

impl<'s> Builder<'s> {
    fn new(source: SourceId, sink: &'s mut Sink) -> Self {
        Self {
            source,
            sink,
            frames: Vec::new(),
            anchors: HashMap::new(),
            documents: Vec::new(),
            nodes: 0,
            text_bytes: 0,
        }
    }

    fn span(&self, span: &granit_parser::Span) -> Span {
        let range = span.byte_range().unwrap_or_default();
        Span::new(self.source, range.start, range.end)
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Outcome {
        match event {
            Event::DocumentStart(..) => {
                self.anchors.clear();
                self.nodes = 0;
                self.text_bytes = 0;
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => self.scalar(
                &text,
                style == ScalarStyle::Plain,
                anchor,
                tag.as_deref(),
                span,
            ),
            Event::SequenceStart(style, anchor, tag) => {
                let kind = FrameKind::Sequence(Vec::new());
                let mark = keys::mark(tag.as_deref());
                self.open(Frame::new(kind, style, span, mark, anchor))
            }
            Event::MappingStart(style, anchor, tag) => {
                let mapping = Mapping::default();
                let kind = FrameKind::Mapping {
                    mapping,
                    key: None,
                    merge: None,
                };
                let mark = keys::mark(tag.as_deref());
                self.open(Frame::new(kind, style, span, mark, anchor))
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::UnresolvedAlias(name) => Err(Box::new(
                Diagnostic::error(Code::UnknownAlias, format!("alias `*{name}` has no anchor"))
                    .at(span, "")
                    .help(format!(
                        "an anchor `&{name}` must stand before it in the same document"
                    )),
            )),
            _ => Ok(()),
        }
    }

    fn scalar(
        &mut self,
        text: &str,
        plain: bool,
        anchor: usize,
        tag: Option<&Tag>,
        span: Span,
    ) -> Outcome {
        let weight = Weight {
            nodes: 1,
            text_bytes: text.len() as u64,
            height: 0,
        };
        self.spend(weight, span)?;
        let scalar = Scalar {
            text: text.into(),
            plain,
            tag: keys::scalar_tag(tag),
            template: None,
        };
        if plain && scalar.tag == ScalarTag::None && text == "<<" && self.at_key() {
            self.merge_sign(span);
            return Ok(());
        }
        if scalar.resolve().is_err() {
            return Err(Box::new(
                Diagnostic::error(Code::BadTag, "the value contradicts its tag").at(span, ""),
            ));
        }
        let node = Node {
            value: Value::Scalar(scalar),
            span,
            mark: keys::mark(tag),
        };
        self.finish((node, weight), anchor);
        Ok(())
    }

    /// Returns whether the next scalar is a key.
    fn at_key(&self) -> bool {
        matches!(
            self.frames.last(),
            Some(Frame {
                kind: FrameKind::Mapping { key: None, .. },
                ..
            })
        )
    }

    fn merge_sign(&mut self, span: Span) {
        if let Some(Frame {
            kind: FrameKind::Mapping { key, merge, .. },
            ..
        }) = self.frames.last_mut()
        {
            *key = Some(match merge {
                None => PendingKey::Merge(span),
                Some((first, _)) => {
                    let help = "to merge several mappings, give a list: `<<: [*a, *b]`";
                    self.sink
                        .push(keys::duplicate("<<", *first, span).help(help));
                    PendingKey::Wrong
                }
            });
        }
    }

    fn open(&mut self, frame: Frame) -> Outcome {
        let span = frame.span;
        self.spend(frame.weight, span)?;
        if self.frames.len() >= usize::from(DEPTH_MAX) {
            return too_deep(span);
        }
        self.frames.push(frame);
        Ok(())
    }

    fn close(&mut self, end: Span) -> Outcome {
        let Some(frame) = self.frames.pop() else {
            return Ok(());
        };
        let Frame {
            kind,
            flow,
            mut span,
            mark,
            anchor,
            weight,
        } = frame;
        if flow {
            span.end = end.end;
        }
        let value = match kind {
            FrameKind::Sequence(items) => Value::Sequence(items),
            FrameKind::Mapping {
                mut mapping, merge, ..
            } => {
                if let Some((_, from)) = merge {
                    keys::merge_into(&mut mapping, from)?;
                }
                Value::Mapping(mapping)
            }
        };
        self.finish((Node { value, span, mark }, weight), anchor);
        Ok(())
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Outcome {
        let Some((node, weight)) = self.anchors.get(&anchor) else {
            return Err(Box::new(
                Diagnostic::error(
                    Code::UnknownAlias,
                    "an alias stands inside of its own anchor",
                )
                .at(span, "this would be endless"),
            ));
        };
        let weight = *weight;
        // The cost is known before the first byte is copied: a bomb is refused, not defused.
        self.nodes = self.nodes.saturating_add(weight.nodes);
        self.text_bytes = self.text_bytes.saturating_add(weight.text_bytes);
        self.check_limits(span)?;
        if self.frames.len() + usize::from(weight.height) > usize::from(DEPTH_MAX) {
            return too_deep(span);
        }
        let node = node.clone();
        self.finish((node, weight), 0);
        Ok(())
    }

    fn spend(&mut self, weight: Weight, span: Span) -> Outcome {
        self.nodes = self.nodes.saturating_add(weight.nodes);
        self.text_bytes = self.text_bytes.saturating_add(weight.text_bytes);
        self.check_limits(span)
    }

    fn check_limits(&self, span: Span) -> Outcome {
        if self.nodes <= NODES_MAX && self.text_bytes <= TEXT_BYTES_MAX {
            return Ok(());
        }
        Err(Box::new(
            Diagnostic::error(
                Code::TooLarge,
                format!(
                    "the document is larger than {NODES_MAX} values or {} MiB of text once its \
                     aliases are expanded",
                    TEXT_BYTES_MAX >> 20
                ),
            )
            .at(span, "the limit is passed here"),
        ))
    }

    /// Hands a complete node to the collection around it.
    fn finish(&mut self, (mut node, weight): Weighed, anchor: usize) {
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), weight));
        }
        let Some(frame) = self.frames.last_mut() else {
            self.documents.push(node);
            return;
        };
        frame.weight.nodes = frame.weight.nodes.saturating_add(weight.nodes);
        frame.weight.text_bytes = frame.weight.text_bytes.saturating_add(weight.text_bytes);
        frame.weight.height = frame.weight.height.max(weight.height.saturating_add(1));
        frame.span.end = frame.span.end.max(node.span.end);
        let (mapping, key, merge) = match &mut frame.kind {
            FrameKind::Sequence(items) => return items.push(node),
            FrameKind::Mapping {
                mapping,
                key,
                merge,
            } => (mapping, key, merge),
        };
        match key.take() {
            None => {
                *key = Some(keys::key_of(&node).unwrap_or_else(|error| {
                    self.sink.push(*error);
                    PendingKey::Wrong
                }));
            }
            Some(PendingKey::Wrong) => {}
            Some(PendingKey::Merge(span)) => *merge = Some((span, node)),
            Some(PendingKey::Text(text, key_span)) => {
                if let Some(first) = mapping.entry(&text) {
                    self.sink
                        .push(keys::duplicate(&text, first.key_span, key_span));
                    return;
                }
                if node.span.start == node.span.end {
                    node.span = key_span;
                }
                mapping.insert(text, key_span, node);
            }
        }
    }
}

fn too_deep(span: Span) -> Outcome {
    let message = format!("the document is nested deeper than {DEPTH_MAX} levels");
    Err(Box::new(
        Diagnostic::error(Code::TooLarge, message).at(span, ""),
    ))
}
