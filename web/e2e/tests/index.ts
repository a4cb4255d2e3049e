import './media';
import './chat';
import './recovery';
import './moderation';
import './entry';
import './accessibility';
import './ui-media';
import './firefox';
