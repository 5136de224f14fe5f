extension ConfigurationOption {
    /// What holds for all keys of a section: one line of the sample each, one text in the manual. Sections that are not here need no words.
    static let sectionTexts: [String: [String]] = [
        "alerts": ["What operators should know, and where it goes: see ALERTS in relayd(8)."],
        "people": [
            "Figures about people, with noise that hides every single user, as relayd-privacy(7) explains them. A change holds from the next day or",
            "week on.",
        ],
        "limits": [
            "How much is too much. Rates are per second, and what a minute allows may come at once; 0 turns a limit off. They are far above what",
            "people do: who meets one is told to wait and loses nothing. Limits on what comes from where hold for open connections at once when they",
            "are reloaded. Users that were added with chatctl user add --no-limits are not held to those that count messages, nor to",
            "handshakes_per_second.",
        ],
    ]
}
