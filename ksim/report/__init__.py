"""Floor 5: for people. Tables, sentences, figures and graphs made from the rows of a study."""
