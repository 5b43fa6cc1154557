//! Texts to tokens, as CLIP counts them.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Range,
    path::Path,
};

use serde::Deserialize;
use serde_json::{Value, json};
use tokenizers::{AddedToken, Tokenizer};

use crate::{Outcome, weights::read_json};

const START: &str = "<|startoftext|>";
const END: &str = "<|endoftext|>";

/// A tokenizer with its marks.
#[derive(Debug, Clone)]
pub struct Tokens {
    tokenizer: Tokenizer,
    start: u32,
    end: u32,
    pad: u32,
    /// Tokens of a text, with both marks and the padding.
    pub length: usize,
    /// New words, and the rows of the text model that each stands for.
    words: HashMap<u32, Range<u32>>,
}

/// The tokens of a text, and what was cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ids {
    pub ids: Vec<u32>,
    /// What did not fit, as text.
    pub left_out: Option<String>,
}

/// `tokenizer_config.json`.
#[derive(Debug, Deserialize)]
struct Settings {
    #[serde(default)]
    pad_token: Option<Value>,
    #[serde(default)]
    model_max_length: Option<f64>,
}

impl Tokens {
    /// A folder with `vocab.json` and `merges.txt`, or with `tokenizer.json`, and `tokenizer_config.json`.
    pub fn open(folder: &Path) -> Outcome<Self> {
        let file = |name: &str| folder.join(name);
        let vocab = file("vocab.json");
        let shown = folder.display();
        let settings: Settings = read_json(&file("tokenizer_config.json"))?;
        // A mark is a text, or an object with one.
        let pad = match &settings.pad_token {
            Some(Value::String(token)) => token.clone(),
            Some(Value::Object(token)) => match token.get("content").and_then(Value::as_str) {
                Some(content) => content.to_owned(),
                None => return Err(format!("{shown}: pad_token has no content").into()),
            },
            _ => END.to_owned(),
        };
        let tokenizer = match vocab.exists() {
            true => {
                let vocabulary: HashMap<String, u32> = read_json(&vocab)?;
                let path = file("merges.txt");
                let merges = std::fs::read_to_string(&path);
                let merges = merges.map_err(|error| format!("{}: {error}", path.display()))?;
                clip(&vocabulary, &merges, &pad)
            }
            false => read_json(&file("tokenizer.json")).map_err(|error| {
                format!("{shown}: there is no vocab.json, and of tokenizer.json: {error}")
            })?,
        };
        let tokenizer = Tokenizer::from_bytes(tokenizer.to_string()).map_err(|error| {
            format!("{shown}: vocabulary and merges make no tokenizer: {error}")
        })?;
        let id = |token: &str| {
            let found = tokenizer.token_to_id(token);
            found.ok_or_else(|| format!("{shown}: the vocabulary has no {token:?}"))
        };
        // Folders of models without a limit have a huge number there.
        let length = settings
            .model_max_length
            .filter(|length| *length < 1e6)
            .unwrap_or(77.0);
        Ok(Self {
            start: id(START)?,
            end: id(END)?,
            pad: id(&pad)?,
            length: length as usize,
            words: HashMap::new(),
            tokenizer,
        })
    }

    /// Adds words of so many vectors each, which are rows behind the vocabulary of a text model.
    pub fn add_words(&mut self, vocabulary: usize, words: &[(String, usize)]) -> Outcome<()> {
        let largest = self.tokenizer.get_vocab_size(true);
        if largest > vocabulary {
            return Err(format!(
                "the tokenizer has {largest} tokens, and the text model {vocabulary}"
            )
            .into());
        }
        let mut next = vocabulary as u32;
        for (word, count) in words {
            if self.tokenizer.token_to_id(word).is_some() {
                return Err(format!("the word {word:?} is a token already").into());
            }
            let token = AddedToken::from(word.as_str(), false);
            self.tokenizer
                .add_tokens([token])
                .map_err(|error| error.to_string())?;
            let id = self
                .tokenizer
                .token_to_id(word)
                .ok_or("the tokenizer takes no new words")?;
            let rows = next..next + *count as u32;
            next = rows.end;
            self.words.insert(id, rows);
        }
        Ok(())
    }

    /// The tokens of a text between its marks, cut and padded to the length of the model.
    pub fn encode(&self, text: &str) -> Outcome<Ids> {
        let encoding = self
            .tokenizer
            .encode(text, false)
            .map_err(|error| error.to_string())?;
        let mut ids = vec![self.start];
        let mut left_out = None;
        for (id, (place, _)) in encoding.get_ids().iter().zip(encoding.get_offsets()) {
            match self.words.get(id) {
                None => ids.push(*id),
                Some(rows) => ids.extend(rows.clone()),
            }
            if ids.len() >= self.length && left_out.is_none() {
                left_out = Some(text.get(*place..).unwrap_or_default().to_owned());
            }
        }
        ids.truncate(self.length - 1);
        ids.push(self.end);
        ids.resize(self.length, self.pad);
        Ok(Ids { ids, left_out })
    }
}

/// The tokenizer of CLIP as the library writes it: lower case, words, bytes of which they consist, and merges
/// of the pairs that are frequent.
fn clip(vocabulary: &HashMap<String, u32>, merges: &str, pad: &str) -> Value {
    let pairs = merges
        .lines()
        .filter(|line| !line.starts_with("#version") && !line.is_empty());
    let merges: Vec<&str> = pairs.collect();
    let words = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";
    let mark = |content: &str| {
        json!({"id": vocabulary.get(content), "content": content, "single_word": false, "lstrip": false,
               "rstrip": false, "normalized": false, "special": true})
    };
    // The padding is one as well, also where a text has it: "!" of Stable Diffusion 2.
    let names: BTreeSet<&str> = [START, END, pad].into();
    let marks: Vec<_> = names
        .into_iter()
        .filter(|name| vocabulary.contains_key(*name))
        .map(mark)
        .collect();
    json!({
        "version": "1.0",
        "added_tokens": marks,
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "NFC"},
            {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
            {"type": "Lowercase"},
        ]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": words}, "behavior": "Removed", "invert": true},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        ]},
        "model": {"type": "BPE", "unk_token": END, "continuing_subword_prefix": "",
                  "end_of_word_suffix": "</w>", "fuse_unk": false, "vocab": vocabulary, "merges": merges},
    })
}
