"""Which pixels decide a class: saliency, class models, occlusion; and which class it is."""
